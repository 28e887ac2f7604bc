// SPDX-License-Identifier: Apache-2.0

//! Schemas of the wire types, as utoipa derives them, put right where the derivation does not know serde well enough.

use serde_json::{Map, Value, json};
use utoipa::{
    OpenApi,
    openapi::{Components, ComponentsBuilder},
};

use super::DocumentError;
use crate::{
    account::Account,
    change::{Changes, Page},
    connection::{Connection, ConnectionSpec, CreatedConnection, JwtSecret, JwtSecretRotation, RotatedConnection},
    interface::{Interface, InterfaceSpec},
    problem::Problem,
};

/// What operations name; the derivation finds what these are made of.
#[derive(OpenApi)]
#[openapi(components(schemas(
    Account,
    Changes,
    ConnectionSpec,
    CreatedConnection,
    InterfaceSpec,
    JwtSecret,
    JwtSecretRotation,
    Page<Connection>,
    Page<Interface>,
    Problem,
    RotatedConnection,
)))]
struct WireTypes;

pub(super) fn components() -> Result<Components, DocumentError> {
    let derived = WireTypes::openapi()
        .components
        .unwrap_or_else(|| ComponentsBuilder::new().build());
    let mut document = serde_json::to_value(derived)?;
    if let Some(schemas) = document.get_mut("schemas").and_then(Value::as_object_mut) {
        merge_flattened(schemas, "Interface", "InterfaceSpec");
        merge_flattened(schemas, "CreatedConnection", "Connection");
        merge_flattened(schemas, "RotatedConnection", "Connection");
        for (page, item) in [("Page_Interface", "Interface"), ("Page_Connection", "Connection")] {
            refer_to_item(schemas, page, item);
        }
        describe_tags(schemas);
        describe_secrets(schemas);
        for (name, spec, what) in [
            ("InterfacePatch", "InterfaceSpec", "an interface"),
            ("ConnectionPatch", "ConnectionSpec", "a connection"),
        ] {
            if let Some(patch) = schemas.get(spec).map(|spec| merge_patch(spec, what)) {
                schemas.insert(name.to_owned(), patch);
            }
        }
        for schema in schemas.values_mut() {
            hoist_descriptions(schema);
            plain_text(schema);
        }
    }
    Ok(serde_json::from_value(document)?)
}

/// A flattened member becomes `allOf`, and that cannot be fulfilled when a part forbids further members:
/// makes one object of the parts.
fn merge_flattened(schemas: &mut Map<String, Value>, name: &str, flattened: &str) {
    let Some(base) = schemas.get(flattened).cloned() else { return };
    let Some(schema) = schemas.get_mut(name).and_then(Value::as_object_mut) else {
        return;
    };
    let Some(Value::Array(parts)) = schema.remove("allOf") else {
        return;
    };
    let mut properties = Map::new();
    let mut required = Vec::new();
    for part in &parts {
        let part = if part.get("$ref").is_some() { &base } else { part };
        properties.extend(part.get("properties").and_then(Value::as_object).cloned().unwrap_or_default());
        required.extend(part.get("required").and_then(Value::as_array).cloned().unwrap_or_default());
    }
    schema.insert("type".to_owned(), json!("object"));
    schema.insert("properties".to_owned(), Value::Object(properties));
    schema.insert("required".to_owned(), Value::Array(required));
}

/// The derivation copies the parameter of a generic type into it.
fn refer_to_item(schemas: &mut Map<String, Value>, page: &str, item: &str) {
    if let Some(items) = schemas
        .get_mut(page)
        .and_then(|page| page.pointer_mut("/properties/items/items"))
    {
        *items = json!({ "$ref": format!("#/components/schemas/{item}") });
    }
}

/// The derivation writes the tag of an enum without a description, and points to the variant's type by a Rust link.
fn describe_tags(schemas: &mut Map<String, Value>) {
    for (name, tag, description) in [
        ("Channel", "type", "Which channel it is; never changes."),
        ("WhatsAppProvider", "type", "Who it is."),
        ("Change", "kind", "What the object is."),
    ] {
        let variants = schemas
            .get_mut(name)
            .and_then(|schema| schema.get_mut("oneOf"))
            .and_then(Value::as_array_mut);
        for variant in variants.into_iter().flatten() {
            if let Some(variant) = variant.as_object_mut().filter(|_| name == "Channel") {
                variant.remove("description");
            }
            let parts = variant.get_mut("allOf").and_then(Value::as_array_mut);
            let parts: Vec<&mut Value> = match parts {
                Some(parts) => parts.iter_mut().collect(),
                None => vec![variant],
            };
            for part in parts {
                if let Some(part) = part.as_object_mut().filter(|part| part.contains_key("$ref")) {
                    part.remove("description");
                }
                if let Some(tag) = part.get_mut("properties").and_then(|properties| properties.get_mut(tag)) {
                    tag["description"] = json!(description);
                }
            }
        }
    }
}

/// The derivation has no word for the number of members, and the type's text is for those who program with it.
fn describe_secrets(schemas: &mut Map<String, Value>) {
    if let Some(secrets) = schemas
        .get_mut("ConnectionSpec")
        .and_then(|spec| spec.pointer_mut("/properties/secrets"))
        && let Some(secrets) = secrets.as_object_mut()
    {
        secrets.remove("propertyNames");
        secrets.insert(
            "additionalProperties".to_owned(),
            json!({ "$ref": "#/components/schemas/SecretValue" }),
        );
        secrets.insert("maxProperties".to_owned(), json!(16));
        secrets.insert("writeOnly".to_owned(), json!(true));
    }
    if let Some(secret) = schemas.get_mut("SecretValue") {
        secret["description"] = json!("A secret. Never in a log, an error or a list.");
    }
}

/// The schema of a merge patch: every member may be absent or `null`, and members of objects are patches themselves.
fn merge_patch(spec: &Value, what: &str) -> Value {
    let mut patch = spec.as_object().cloned().unwrap_or_default();
    patch.remove("required");
    let description = format!(
        "A merge patch (RFC 7396) of {what}: what is absent stays, `null` returns to the manager's default, \
         objects are patched member by member, lists are replaced."
    );
    patch.insert("description".to_owned(), Value::String(description));
    if let Some(properties) = patch.get_mut("properties").and_then(Value::as_object_mut) {
        for property in properties.values_mut() {
            make_nullable(property);
        }
    }
    Value::Object(patch)
}

fn make_nullable(property: &mut Value) {
    let Some(members) = property.as_object_mut() else { return };
    if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
        let name = reference.rsplit('/').next().unwrap_or(reference);
        let text = members.get("description").and_then(Value::as_str).unwrap_or_default();
        let description = format!("{text} A merge patch of `{name}`.");
        *property = json!({ "type": ["object", "null"], "description": description });
        return;
    }
    if let Some(values) = members
        .get_mut("additionalProperties")
        .filter(|values| values.get("$ref").is_some())
    {
        *values = json!({ "oneOf": [values, { "type": "null" }] });
    }
    if let Some(Value::String(one)) = members.get("type").cloned() {
        members.insert("type".to_owned(), json!([one, "null"]));
    }
}

/// Texts come from Rust documentation: links between items mean nothing here.
fn plain_text(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members.iter_mut() {
                match member {
                    Value::String(text) if name == "description" => *text = without_links(text),
                    member => plain_text(member),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(plain_text),
        _ => {}
    }
}

/// The derivation describes an optional member of a named type only inside of its alternatives.
fn hoist_descriptions(schema: &mut Value) {
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    for property in properties
        .into_iter()
        .flat_map(Map::values_mut)
        .filter_map(Value::as_object_mut)
    {
        let alternatives = property.get_mut("oneOf").and_then(Value::as_array_mut);
        let referring = alternatives
            .into_iter()
            .flatten()
            .filter_map(Value::as_object_mut)
            .find(|one| one.contains_key("$ref"));
        if let Some(description) = referring.and_then(|one| one.remove("description")) {
            property.entry("description").or_insert(description);
        }
    }
}

/// `` [`Name`](path) `` and `` [`Name`] `` become `` `Name` ``.
fn without_links(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, link)) = rest.split_once("[`") {
        let Some((name, after)) = link.split_once("`]") else { break };
        plain.push_str(before);
        plain.extend(["`", name, "`"]);
        rest = match after.strip_prefix('(').and_then(|target| target.split_once(')')) {
            Some((_, after)) => after,
            None => after,
        };
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_between_rust_items_become_names() {
        assert_eq!(without_links("422 [`A`](crate::B::A), see [`C`]."), "422 `A`, see `C`.");
        assert_eq!(without_links("plain [x] `y`"), "plain [x] `y`");
    }
}
