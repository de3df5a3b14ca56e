import { useId } from "preact/hooks";
import { Button, IconButton } from "../ui/button";
import { CloseIcon, PlusIcon } from "../ui/icons";
import { JsonField } from "./json-field";
import { isObject } from "./loose-json";
import { blank, type Field, labelOf, type Member } from "./schema";
import { pointer, type Complaints } from "./validate";
import "./schema-form.css";

interface FormProps {
  field: Field;
  value: unknown;
  onChange(value: unknown): void;
  complaints: Complaints;
  /** JSON Pointer of the value within the form. */
  at?: string;
  label?: string;
}

/** A form for a value of a schema. Complaints stand beside the fields that they are about. */
export function SchemaForm({ field, value, onChange, complaints, at = "", label = "Value" }: FormProps) {
  if (field.kind === "object") return <ObjectFields {...{ field, value, onChange, complaints, at }} />;
  return <Row {...{ field, value, onChange, complaints, at, label }} isRequired />;
}

function ObjectFields({ field, value, onChange, complaints, at = "" }: FormProps & { field: Field & { kind: "object" } }) {
  const given = isObject(value) ? value : {};
  return (
    <div class="entries">
      {field.members.map((member) => (
        <MemberRow key={member.name} member={member} given={given} onChange={onChange} complaints={complaints} at={at} />
      ))}
    </div>
  );
}

interface MemberProps {
  member: Member;
  given: Record<string, unknown>;
  onChange(value: unknown): void;
  complaints: Complaints;
  at: string;
}

function MemberRow({ member, given, onChange, complaints, at }: MemberProps) {
  const { name, field, isRequired, label } = member;
  const change = (value: unknown) => onChange({ ...given, [name]: value });
  const isAbsent = !(name in given);
  if (isAbsent && !isRequired) {
    return (
      <Button kind="quiet" icon={PlusIcon} class="entry-add" onClick={() => change(blank(field))}>
        {label}
      </Button>
    );
  }
  const remove = isRequired
    ? undefined
    : () => {
        const { [name]: _, ...rest } = given;
        onChange(rest);
      };
  return (
    <Row
      field={field}
      label={label}
      isRequired={isRequired}
      value={given[name]}
      onChange={change}
      complaints={complaints}
      at={pointer(at, name)}
      {...(remove ? { onRemove: remove } : {})}
    />
  );
}

interface RowProps extends Required<FormProps> {
  isRequired: boolean;
  onRemove?: () => void;
}

function Row({ field, label, isRequired, value, onChange, complaints, at, onRemove }: RowProps) {
  const id = useId();
  const complaint = complaints.get(at);
  const description = field.schema["description"];
  const notes = [complaint && `${id}-complaint`, description && `${id}-about`].filter(Boolean).join(" ") || undefined;
  const isGroup = field.kind === "object" || field.kind === "list";
  const Outer = isGroup ? "fieldset" : "div";
  const Title = isGroup ? "legend" : "label";
  return (
    <Outer class={`entry ${field.kind} ${complaint ? "invalid" : ""}`}>
      <Title class="entry-label" {...(isGroup ? {} : { for: id })}>
        {label}
        {isRequired && <span class="entry-needed" aria-hidden="true"> *</span>}
      </Title>
      <div class="entry-row">
        {field.kind === "object" ? (
          <ObjectFields {...{ field, value, onChange, complaints, at }} />
        ) : field.kind === "list" ? (
          <ListItems {...{ field, value, onChange, complaints, at, label }} />
        ) : (
          <Input {...{ field, id, label, value, onChange, notes }} isInvalid={complaint !== undefined} />
        )}
        {onRemove && <IconButton small icon={CloseIcon} label={`Leave out ${label}`} onClick={onRemove} />}
      </div>
      {typeof description === "string" && (
        <p class="entry-about" id={`${id}-about`}>
          {description}
        </p>
      )}
      {complaint && (
        <p class="entry-complaint" id={`${id}-complaint`} role="alert">
          {complaint}
        </p>
      )}
    </Outer>
  );
}

function ListItems({ field, value, onChange, complaints, at, label }: Required<FormProps> & { field: Field & { kind: "list" } }) {
  const items = Array.isArray(value) ? value : [];
  const replace = (place: number, item: unknown) => onChange(items.map((old, index) => (index === place ? item : old)));
  return (
    <div class="entries">
      {items.map((item, place) => (
        <Row
          // Items have no names: their place is all that tells them apart.
          key={`${place}-${items.length}`}
          field={field.item}
          label={`${label} ${place + 1}`}
          isRequired={false}
          value={item}
          onChange={(next) => replace(place, next)}
          complaints={complaints}
          at={pointer(at, place)}
          onRemove={() => onChange(items.filter((_, index) => index !== place))}
        />
      ))}
      <Button kind="quiet" icon={PlusIcon} class="entry-add" onClick={() => onChange([...items, blank(field.item)])}>
        Add to {labelOf(label).toLowerCase()}
      </Button>
    </div>
  );
}

interface InputProps {
  field: Exclude<Field, { kind: "object" } | { kind: "list" }>;
  id: string;
  label: string;
  value: unknown;
  onChange(value: unknown): void;
  notes: string | undefined;
  isInvalid: boolean;
}

function Input({ field, id, label, value, onChange, notes, isInvalid }: InputProps) {
  const common = { id, class: "entry-input", "aria-invalid": isInvalid, "aria-describedby": notes };
  switch (field.kind) {
    case "text": {
      const text = typeof value === "string" ? value : "";
      return field.multiline ? (
        <textarea {...common} rows={Math.min(8, Math.max(1, text.split("\n").length, Math.ceil(text.length / 60)))} value={text} onInput={(event) => onChange(event.currentTarget.value)} />
      ) : (
        <input {...common} type="text" value={text} onInput={(event) => onChange(event.currentTarget.value)} />
      );
    }
    case "number":
      return (
        <input
          {...common}
          type="number"
          step={field.isWhole ? 1 : "any"}
          value={typeof value === "number" && Number.isFinite(value) ? value : ""}
          // An empty field is no number, and not zero.
          onInput={(event) => onChange(event.currentTarget.value === "" ? null : event.currentTarget.valueAsNumber)}
        />
      );
    case "boolean":
      return <input {...common} class="entry-check" type="checkbox" checked={value === true} onChange={(event) => onChange(event.currentTarget.checked)} />;
    case "choice":
      return (
        <select {...common} value={String(field.options.findIndex((option) => JSON.stringify(option) === JSON.stringify(value)))} onChange={(event) => onChange(field.options[Number(event.currentTarget.value)])}>
          {!field.options.some((option) => JSON.stringify(option) === JSON.stringify(value)) && <option value="-1">Choose…</option>}
          {field.options.map((option, place) => (
            <option key={place} value={String(place)}>
              {typeof option === "string" ? option : JSON.stringify(option)}
            </option>
          ))}
        </select>
      );
    case "json":
      return <JsonField id={id} label={label} value={value} onChange={onChange} describedBy={notes} />;
  }
}
