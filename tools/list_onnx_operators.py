"""Writes tools/onnx-operators.json: the operators of ONNX 1.19's standard domain (operator set 24).

Run: python tools/list_onnx_operators.py        (needs onnx, see tools/requirements.txt)

One entry per operator: name; since (operator set of its newest form up to 24); deprecated; and whether a float tensor can
be an input and an output of it (float: "in", "out", "both" or "none").
"""

import json
import pathlib

from onnx import defs

NEWEST = 24
OUT = pathlib.Path(__file__).resolve().parent / "onnx-operators.json"


def takes_float(schema, parameters):
    """Whether one of the formal parameters may be a float tensor."""
    allowed = {c.type_param_str: c.allowed_type_strs for c in schema.type_constraints}
    return any("tensor(float)" in allowed.get(p.type_str, [p.type_str]) for p in parameters)


def main():
    newest = {}
    for schema in defs.get_all_schemas_with_history():
        if schema.domain != "" or schema.since_version > NEWEST:
            continue
        known = newest.get(schema.name)
        if known is None or known.since_version < schema.since_version:
            newest[schema.name] = schema
    kinds = {(True, True): "both", (True, False): "in", (False, True): "out", (False, False): "none"}
    rows = [
        {
            "name": name,
            "since": schema.since_version,
            "deprecated": schema.deprecated,
            "float": kinds[takes_float(schema, schema.inputs), takes_float(schema, schema.outputs)],
        }
        for name, schema in sorted(newest.items())
    ]
    lines = ",\n".join(f"  {json.dumps(row)}" for row in rows)
    OUT.write_text(f'{{\n "opset": {NEWEST},\n "operators": [\n{lines}\n ]\n}}\n')


if __name__ == "__main__":
    main()
