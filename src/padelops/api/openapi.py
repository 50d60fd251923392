"""The OpenAPI 3.1 document, made from the routes themselves."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import models_json_schema

from padelops.api.documents import BookingOut, ProblemOut
from padelops.api.exchange import JSON
from padelops.api.problems import PROBLEM
from padelops.api.routing import PARAMETERS
from padelops.errors import first_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import BaseModel
    from pydantic.json_schema import JsonSchemaMode

    from padelops.api.routing import Route

COMPONENTS = "#/components/schemas/{model}"

PROBLEMS = {
    400: "The request makes no sense; nothing was changed.",
    401: "No token, or none that is in force.",
    402: "The card was declined; nothing was charged.",
    403: "The token does not permit this.",
    404: "There is no such thing, or none that this token may see.",
    405: "This address does not take this method.",
    408: "The request did not arrive in time.",
    409: "A rule of the moment stands against it: `code` tells which.",
    413: "The request is too large.",
    415: "The body must be JSON.",
    422: "The club's rules do not allow it, or the key belongs to another request.",
    429: "This token books too fast; `Retry-After` tells when to come back.",
    500: "padelops itself failed.",
    503: "Something is away or saturated; nothing was changed; come back after `Retry-After`.",
    504: "It may have happened: ask again with the same `Idempotency-Key`.",
}


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """The whole document."""
    routes = list(routes)
    schemas, definitions = _schemas(routes)
    paths: dict[str, Any] = {}
    for one in routes:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "padelops",
            "version": version("padelops"),
            "description": "Keeps padel courts sold exactly once.",
        },
        "paths": paths,
        "components": {
            "schemas": definitions,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _schemas(
    routes: list[Route],
) -> tuple[dict[Any, Any], dict[str, Any]]:
    """Each model's place among the definitions, and the definitions."""
    wanted: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {
        (ProblemOut, "serialization"): None
    }
    for one in routes:
        if one.takes is not None:
            wanted[(one.takes, "validation")] = None
        for model in (one.answers or {}).values():
            if not isinstance(model, str):
                wanted[(model, "serialization")] = None
    places, top = models_json_schema(list(wanted), ref_template=COMPONENTS)
    return dict(places), top.get("$defs", {})


def _operation(one: Route, schemas: dict[Any, Any]) -> dict[str, Any]:
    words = (one.handler.__doc__ or "").strip()
    operation: dict[str, Any] = {
        "operationId": one.name,
        "summary": first_line(words),
        "description": " ".join(words.split()),
        "parameters": [*_places(one), *_fields(one)],
        "responses": _responses(one, schemas),
    }
    if one.public:
        operation["security"] = []
    if one.signed:
        operation["requestBody"] = {"required": True, "content": {JSON: {"schema": {}}}}
    if one.takes is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {JSON: {"schema": schemas[one.takes, "validation"]}},
        }
    return operation


def _places(one: Route) -> list[dict[str, Any]]:
    """The places in the path; an id is a number to whoever asks."""
    number = {"type": "integer", "minimum": 1, "maximum": 2**63 - 1}
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": number
            if name == "reservation_id"
            else {"type": "string", "pattern": f"^{PARAMETERS[name]}$"},
        }
        for name in one.parameters
    ]


def _fields(one: Route) -> list[dict[str, Any]]:
    """The query's fields, and the one header that means something."""
    fields: list[dict[str, Any]] = []
    if one.asks is not None:
        schema = one.asks.model_json_schema(mode="validation", ref_template=COMPONENTS)
        nested = schema.get("$defs", {})
        for name, shape in schema["properties"].items():
            fields.append(
                {
                    "name": name,
                    "in": "query",
                    "required": name in schema.get("required", ()),
                    "schema": _plain(shape, nested),
                }
            )
    if one.signed:
        fields.append(
            {
                "name": "Stripe-Signature",
                "in": "header",
                "required": True,
                "schema": {"type": "string", "maxLength": 4096, "pattern": "^[ -~]*$"},
            }
        )
    if one.books:
        fields.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "description": "Repeating a request with the same key never books twice.",
                "schema": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 180,
                    "pattern": "^[!-~]+$",
                },
            }
        )
    return fields


def _plain(shape: dict[str, Any], nested: dict[str, Any]) -> dict[str, Any]:
    """A query field's schema: what may be left out is left out, a query knows no null."""
    options = [one for one in shape.get("anyOf", []) if one.get("type") != "null"]
    if len(options) == 1:
        shape = {**options[0]}
    if "$ref" in shape:
        shape = nested[shape["$ref"].rpartition("/")[2]]
    if "items" in shape:
        shape = {**shape, "items": _plain(shape["items"], nested)}
    return {name: value for name, value in shape.items() if name not in {"default", "title"}}


def _responses(one: Route, schemas: dict[Any, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for status, model in sorted((one.answers or {}).items()):
        if isinstance(model, str):
            found[str(status)] = {"description": model}
            continue
        found[str(status)] = {
            "description": first_line(model.__doc__) or "Done.",
            "content": {JSON: {"schema": schemas[model, "serialization"]}},
            **_links(model),
        }
    for status in sorted(problems_of(one)):
        found[str(status)] = {
            "description": PROBLEMS[status],
            "content": {PROBLEM: {"schema": schemas[ProblemOut, "serialization"]}},
        }
    return found


def problems_of(one: Route) -> set[int]:
    """Every status of a problem that this route may answer with."""
    usual = {400, 500, 503, *one.refusals}
    if not one.public:
        usual |= {401, 403}
    if one.takes is not None or one.method == "POST":
        usual |= {408, 413}
    if one.takes is not None:
        usual |= {415, 504}
    if one.parameters:
        usual |= {404}
    return usual


def _links(model: type[BaseModel]) -> dict[str, Any]:
    """Where to go on from a booking."""
    if model is not BookingOut:
        return {}
    the_id = {"reservation_id": "$response.body#/id"}
    return {
        "links": {name: {"operationId": name, "parameters": the_id} for name in ("show", "cancel")}
    }
