"""The blocks of a page are read as CONTRIBUTING.md tells their authors, and what is not known is refused."""

from __future__ import annotations

import pytest
from tests.support.doc_blocks import Block, Command, MarkError, commands, parsed, shows

PAGE = """# Page

```sh
ls
```

- In a list:

  ```python
  # shop.py
  a = 1
  ```

<!-- until: ready -->
```sh
serve
```

<!-- not run: needs a key -->

```console
$ ask
```
"""


def test_the_blocks_of_a_page_come_in_order_with_what_their_marks_say() -> None:
    assert list(parsed("p.md", PAGE)) == [
        Block("p.md", 3, "sh", "ls\n"),
        Block("p.md", 9, "python", "# shop.py\na = 1\n", file="shop.py"),
        Block("p.md", 15, "sh", "serve\n", until="ready"),
        Block("p.md", 21, "console", "$ ask\n", not_run="needs a key"),
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("<!-- skip: it -->\n```sh\nls\n```\n", "p.md:1: unknown mark 'skip'"),
        ("<!-- not run: no reason -->\n```sh\nls\n```\n", "p.md:1: unknown reason 'no reason'"),
        ("<!-- not run: needs a key -->\nWords.\n", "p.md:2: a mark without a block behind it"),
    ],
)
def test_a_mark_that_nobody_knows_is_refused(text: str, problem: str) -> None:
    with pytest.raises(MarkError, match=problem):
        list(parsed("p.md", text))


def test_a_command_goes_on_while_a_quote_is_open_or_a_line_ends_with_a_backslash() -> None:
    assert commands("$ a 'b\nc' \\\n  d\nshown\n$ e # it's\nmore\n") == [
        Command("a 'b\nc' \\\n  d", "shown"),
        Command("e # it's", "more"),
    ]


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ('{"a":1,…}', '{"a":1,"b":2}\n', True),
        ('{"a":1,\n "b":2}', '{"a":1,"b":2}', True),
        ("a…c", "abd", False),
        ("ab", "abc", False),
    ],
)
def test_an_ellipsis_stands_for_anything_and_white_space_for_nothing(
    shown: str, printed: str, same: bool
) -> None:
    assert shows(shown, printed) is same
