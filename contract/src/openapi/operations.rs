// SPDX-License-Identifier: Apache-2.0

//! Paths, methods, parameters and bodies.

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::openapi::{
    ContentBuilder, HttpMethod, Object, Paths, PathsBuilder, Ref, RefOr, Required, Response, ResponseBuilder, Type,
    path::{Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, PathItem},
    request_body::{RequestBody, RequestBodyBuilder},
    schema::ObjectBuilder,
};

use super::{
    examples,
    responses::{Refusal, header_reference},
    title_case,
};
use crate::{
    change::{MAX_PAGE, MAX_WAIT_SECONDS},
    header::{MERGE_PATCH_JSON, OPERATOR_EPOCH},
};

const JSON: &str = "application/json";

/// What every operation may answer.
const ALWAYS: [Refusal; 5] = [
    Refusal::Malformed,
    Refusal::Unauthenticated,
    Refusal::RateLimited,
    Refusal::Internal,
    Refusal::Unavailable,
];

/// What every operation with a body may answer.
const WITH_BODY: [Refusal; 3] = [Refusal::BodyTooLarge, Refusal::UnsupportedMediaType, Refusal::Unprocessable];

/// One of the two kinds of objects, whose paths are alike.
struct Kind {
    tag: &'static str,
    /// As in `getInterface`.
    name: &'static str,
    path: &'static str,
    one: &'static str,
    page: &'static str,
    spec: &'static str,
    object: &'static str,
    created: &'static str,
    patch: &'static str,
    create_example: fn() -> Value,
    patch_example: fn() -> Value,
    create_text: &'static str,
    update_text: &'static str,
    delete_text: &'static str,
}

const INTERFACES: Kind = Kind {
    tag: "interfaces",
    name: "Interface",
    path: "/v1/interfaces",
    one: "an interface",
    page: "Page_Interface",
    spec: "InterfaceSpec",
    object: "Interface",
    created: "Interface",
    patch: "InterfacePatch",
    create_example: examples::interface_spec,
    patch_example: examples::interface_patch,
    create_text: "With an `externalReference` that another object has: `409 reference_exists` and the ID of that object.",
    update_text: "A patch that changes nothing is no write: the revision stays.",
    delete_text: "`409 interface_not_empty` while connections are assigned to it.",
};

const CONNECTIONS: Kind = Kind {
    tag: "connections",
    name: "Connection",
    path: "/v1/connections",
    one: "a connection",
    page: "Page_Connection",
    spec: "ConnectionSpec",
    object: "Connection",
    created: "CreatedConnection",
    patch: "ConnectionPatch",
    create_example: examples::connection_spec,
    patch_example: examples::connection_patch,
    create_text: "With an `externalReference` that another object has: `409 reference_exists`. With a page, number, business ID, \
                  handle or client channel name that another connection has: `409 natural_key_claimed`. Both say the ID of the \
                  holder. The answer has the generated JWT secret, if there is one.",
    update_text: "`interfaceId`, the channel's type and its natural key never change: `422 replace_required`. Of `secrets` only \
                  the names that are there change. A patch that changes nothing is no write: the revision stays.",
    delete_text: "Destroys the identities of the channel's customers. A connection that is made in its place has another ID and \
                  other secrets. Connections that offer a switch to it no longer do.",
};

/// All paths.
pub(super) fn paths() -> Paths {
    let account = operation("account", "getManager", "What the credentials open")
        .description(Some(
            "Identity of the account and what the manager offers; also the way to try credentials.",
        ))
        .response("200", json_response("The account.", "Account").build());
    PathsBuilder::new()
        .path("/v1/manager", PathItem::new(HttpMethod::Get, finish(account, &[])))
        .path(INTERFACES.path, collection(&INTERFACES))
        .path(format!("{}/{{id}}", INTERFACES.path), single(&INTERFACES))
        .path(CONNECTIONS.path, collection(&CONNECTIONS))
        .path(format!("{}/{{id}}", CONNECTIONS.path), single(&CONNECTIONS))
        .path(
            "/v1/connections/{id}/jwt-secret",
            PathItem::new(HttpMethod::Get, jwt_secret()),
        )
        .path(
            "/v1/connections/{id}/jwt-secret/rotate",
            PathItem::new(HttpMethod::Post, rotate_jwt_secret()),
        )
        .path("/v1/changes", PathItem::new(HttpMethod::Get, changes()))
        .build()
}

fn collection(kind: &Kind) -> PathItem {
    let Kind { name, tag, one, .. } = kind;
    let list = operation(tag, &format!("list{name}s"), &format!("List {tag}"))
        .description(Some("One page in order of ID."))
        .parameter_ref(parameter_reference("Cursor"))
        .parameter_ref(parameter_reference("Limit"))
        .parameter_ref(parameter_reference("ExternalReference"))
        .response("200", json_response("One page.", kind.page).build());
    let created = json_response("It was made.", kind.created)
        .header_ref("ETag", header_reference("ETag"))
        .header_ref("Location", header_reference("Location"));
    let create = operation(tag, &format!("create{name}"), &format!("Make {one}"))
        .description(Some(kind.create_text))
        .parameter_ref(parameter_reference("OperatorEpoch"))
        .request_body(Some(body(&[JSON], kind.spec, (kind.create_example)())))
        .response("201", created.build());
    let refusals = [
        &[Refusal::Forbidden, Refusal::Conflict, Refusal::PreconditionFailed],
        WITH_BODY.as_slice(),
    ]
    .concat();
    PathItem::from_http_methods([HttpMethod::Get], finish(list, &[])).with(HttpMethod::Post, finish(create, &refusals))
}

fn single(kind: &Kind) -> PathItem {
    let Kind { name, tag, one, .. } = kind;
    let get = operation(tag, &format!("get{name}"), &format!("Read {one}"))
        .parameter_ref(parameter_reference("Id"))
        .response("200", tagged(kind.object, "As the manager holds it."));
    let update = operation(tag, &format!("update{name}"), &format!("Change {one}"))
        .description(Some(kind.update_text))
        .parameter_ref(parameter_reference("Id"))
        .parameter_ref(parameter_reference("IfMatch"))
        .parameter_ref(parameter_reference("OperatorEpoch"))
        .request_body(Some(body(&[MERGE_PATCH_JSON, JSON], kind.patch, (kind.patch_example)())))
        .response("200", tagged(kind.object, "As it is now."));
    let delete = operation(tag, &format!("delete{name}"), &format!("Delete {one}"))
        .description(Some(kind.delete_text))
        .parameter_ref(parameter_reference("Id"))
        .parameter_ref(parameter_reference("IfMatch"))
        .parameter_ref(parameter_reference("OperatorEpoch"))
        .response("204", Response::new("It is gone."));
    let update_refusals = [
        &[
            Refusal::Forbidden,
            Refusal::NotFound,
            Refusal::Conflict,
            Refusal::PreconditionFailed,
        ],
        WITH_BODY.as_slice(),
    ]
    .concat();
    let mut delete_refusals = vec![Refusal::Forbidden, Refusal::NotFound, Refusal::PreconditionFailed];
    if kind.name == INTERFACES.name {
        delete_refusals.push(Refusal::Conflict);
    }
    PathItem::new(HttpMethod::Get, finish(get, &[Refusal::NotFound]))
        .with(HttpMethod::Patch, finish(update, &update_refusals))
        .with(HttpMethod::Delete, finish(delete, &delete_refusals))
}

fn jwt_secret() -> Operation {
    let get = operation("connections", "getJwtSecret", "Read the generated JWT secret")
        .description(Some(
            "Web Messaging and client channels have one; the others answer 404. A manager that tells secrets once only answers \
             `403 secret_withheld`.",
        ))
        .parameter_ref(parameter_reference("Id"))
        .response("200", tagged("JwtSecret", "The secret. Not to be cached."));
    finish(get, &[Refusal::Forbidden, Refusal::NotFound])
}

fn rotate_jwt_secret() -> Operation {
    let rotate = operation("connections", "rotateJwtSecret", "Make a new JWT secret")
        .description(Some(
            "The one before is honoured for a while; the answer says until when. A second call with the token of the last \
             rotation is no write: same secret, same time, same revision, whatever `If-Match` says.",
        ))
        .parameter_ref(parameter_reference("Id"))
        .parameter_ref(parameter_reference("IfMatch"))
        .parameter_ref(parameter_reference("OperatorEpoch"))
        .request_body(Some(body(&[JSON], "JwtSecretRotation", examples::jwt_secret_rotation())))
        .response(
            "200",
            tagged("RotatedConnection", "The connection and its new secret. Not to be cached."),
        );
    let refusals = [
        &[Refusal::Forbidden, Refusal::NotFound, Refusal::PreconditionFailed],
        WITH_BODY.as_slice(),
    ]
    .concat();
    finish(rotate, &refusals)
}

fn changes() -> Operation {
    let changes = operation("changes", "listChanges", "What happened since a revision")
        .description(Some(
            "Answers at once when there is something, else waits for it. At the end of the wait the answer is empty. \
             While `more` is true there is more to read without waiting.",
        ))
        .parameter_ref(parameter_reference("Since"))
        .parameter_ref(parameter_reference("Wait"))
        .parameter_ref(parameter_reference("Limit"))
        .response("200", json_response("The changes.", "Changes").build());
    finish(changes, &[Refusal::Gone])
}

/// The parameters that operations refer to.
pub(super) fn parameters() -> BTreeMap<String, RefOr<Parameter>> {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let number = || ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0));
    let page = f64::from(MAX_PAGE);
    let wait = u32::try_from(MAX_WAIT_SECONDS).map_or(f64::MAX, f64::from);
    let limit = number().minimum(Some(1)).maximum(Some(page)).default(Some(MAX_PAGE.into()));
    let wait = number().maximum(Some(wait)).default(Some(0.into()));
    let query = ParameterIn::Query;
    [
        (
            "Id",
            parameter("id", ParameterIn::Path, "ID of the object.", text().max_length(Some(64))),
        ),
        (
            "Cursor",
            parameter(
                "cursor",
                query.clone(),
                "`nextCursor` of the page before; absent for the first.",
                text(),
            ),
        ),
        ("Limit", parameter("limit", query.clone(), "Most items of a page.", limit)),
        (
            "ExternalReference",
            parameter(
                "externalReference",
                query.clone(),
                "Only the object that has this reference.",
                text().max_length(Some(512)),
            ),
        ),
        (
            "Since",
            required(parameter(
                "since",
                query.clone(),
                "`revision` of the first page, then `next` of the answer before.",
                number(),
            )),
        ),
        ("Wait", parameter("wait", query, "Seconds to wait for a change.", wait)),
        (
            "IfMatch",
            parameter(
                "If-Match",
                ParameterIn::Header,
                "Only if this is the object's revision (an `ETag`, or `*` for any).",
                text(),
            ),
        ),
        (
            "OperatorEpoch",
            parameter(
                &title_case(OPERATOR_EPOCH),
                ParameterIn::Header,
                "`<installation>/<epoch>`: who writes, and which term of its leadership this is. The manager remembers the \
                 highest epoch of each installation and refuses writes of a lower one.",
                text().pattern(Some("^.{1,128}/[0-9]+$")).examples(["production/7"]),
            ),
        ),
    ]
    .into_iter()
    .map(|(name, parameter)| (name.to_owned(), RefOr::T(parameter)))
    .collect()
}

fn parameter(name: &str, place: ParameterIn, description: &str, schema: ObjectBuilder) -> Parameter {
    let is_required = if place == ParameterIn::Path {
        Required::True
    } else {
        Required::False
    };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(is_required)
        .description(Some(description))
        .schema(Some(Object::from(schema)))
        .build()
}

fn required(mut parameter: Parameter) -> Parameter {
    parameter.required = Required::True;
    parameter
}

fn parameter_reference(name: &str) -> Ref {
    Ref::new(format!("#/components/parameters/{name}"))
}

fn operation(tag: &str, id: &str, summary: &str) -> OperationBuilder {
    OperationBuilder::new().tag(tag).operation_id(Some(id)).summary(Some(summary))
}

fn finish(mut operation: OperationBuilder, refusals: &[Refusal]) -> Operation {
    for refusal in ALWAYS.iter().chain(refusals) {
        operation = operation.response(refusal.status(), refusal.reference());
    }
    operation.build()
}

fn json_response(description: &str, schema: &str) -> ResponseBuilder {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).build();
    ResponseBuilder::new().description(description).content(JSON, content)
}

fn tagged(schema: &str, description: &str) -> Response {
    json_response(description, schema)
        .header_ref("ETag", header_reference("ETag"))
        .build()
}

fn body(media_types: &[&str], schema: &str, example: Value) -> RequestBody {
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name(schema)))
        .example(Some(example))
        .build();
    let start = RequestBodyBuilder::new().required(Some(Required::True));
    media_types
        .iter()
        .fold(start, |body, media_type| body.content(*media_type, content.clone()))
        .build()
}

/// Adds a method to a path.
trait With {
    fn with(self, method: HttpMethod, operation: Operation) -> Self;
}

impl With for PathItem {
    fn with(mut self, method: HttpMethod, operation: Operation) -> Self {
        self.merge_operations(Self::new(method, operation));
        self
    }
}
