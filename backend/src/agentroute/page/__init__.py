"""The chat page: built files in ``built/`` (sources in ``clients/page``), and the routes that serve them."""
