// SPDX-License-Identifier: Apache-2.0

//! The reference of all fields.

use std::fmt::Write;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};

use super::{
    markdown::{cell, code},
    schema,
};

/// The page.
pub(super) fn page(definitions: &[CustomResourceDefinition]) -> String {
    let mut page = String::from(
        "# Fields\n\n\
         Every field of the custom resources, as `kubectl explain` shows them. \
         *Required* means: where the object around it is given. Bounds are checked by the API server.\n",
    );
    for definition in definitions {
        let names = &definition.spec.names;
        let short = names.short_names.iter().flatten().next().map_or("", String::as_str);
        let Some(root) = schema(definition) else { continue };
        let mut rows = Rows::default();
        for (name, property) in root.properties.iter().flatten() {
            rows.add(
                name,
                property,
                root.required.as_ref().is_some_and(|required| required.contains(name)),
            );
        }
        rows.add_rules("", root);
        // Writing to a string cannot fail.
        let _ = write!(
            page,
            "\n## {} (`{short}`)\n\n{}\n\n| Field | Type | Required | Default | Bounds | Description |\n|---|---|---|---|---|---|\n{}",
            names.kind,
            root.description.as_deref().unwrap_or_default(),
            rows.fields
        );
        if !rows.rules.is_empty() {
            let _ = write!(
                page,
                "\nRules beyond that, and what the API server answers:\n\n| Field | Message |\n|---|---|\n{}",
                rows.rules
            );
        }
    }
    page
}

/// The rows of one kind's tables.
#[derive(Default)]
struct Rows {
    fields: String,
    rules: String,
}

impl Rows {
    fn add(&mut self, path: &str, schema: &JSONSchemaProps, required: bool) {
        let _ = writeln!(
            self.fields,
            "| `{path}` | {} | {} | {} | {} | {} |",
            type_name(schema),
            if required { "yes" } else { "" },
            schema
                .default
                .as_ref()
                .map(|default| code(&default.0.to_string()))
                .unwrap_or_default(),
            bounds(schema).join(", "),
            cell(schema.description.as_deref().unwrap_or_default()),
        );
        self.add_rules(path, schema);
        self.add_members(path, schema);
        if let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items {
            let path = format!("{path}[]");
            self.add_rules(&path, items);
            self.add_members(&path, items);
        }
    }

    fn add_members(&mut self, path: &str, schema: &JSONSchemaProps) {
        for (name, property) in schema.properties.iter().flatten() {
            let required = schema.required.as_ref().is_some_and(|required| required.contains(name));
            self.add(&format!("{path}.{name}"), property, required);
        }
    }

    fn add_rules(&mut self, path: &str, schema: &JSONSchemaProps) {
        for rule in schema.x_kubernetes_validations.iter().flatten() {
            let path = format!("{path}{}", rule.field_path.as_deref().unwrap_or_default());
            let message = cell(rule.message.as_deref().unwrap_or(&rule.rule));
            let _ = writeln!(self.rules, "| `{}` | {message} |", path.trim_start_matches('.'));
        }
    }
}

fn type_name(schema: &JSONSchemaProps) -> String {
    let name = schema.type_.as_deref().unwrap_or("any");
    match &schema.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => format!("list of {}", type_name(items)),
        _ if schema.format.as_deref() == Some("date-time") => "time".to_owned(),
        _ => name.to_owned(),
    }
}

fn bounds(schema: &JSONSchemaProps) -> Vec<String> {
    let mut bounds = Vec::new();
    if let Some(values) = &schema.enum_ {
        bounds.push(
            values
                .iter()
                .map(|value| code(&value.0.to_string()))
                .collect::<Vec<_>>()
                .join(", "),
        );
    }
    bounds.extend(range(schema.minimum, schema.maximum, ""));
    bounds.extend(range(schema.min_length, schema.max_length, " characters"));
    bounds.extend(range(schema.min_items, schema.max_items, " items"));
    bounds.extend(schema.pattern.as_deref().map(code));
    match schema.x_kubernetes_list_type.as_deref() {
        Some("set") => bounds.push("each once".to_owned()),
        Some("map") => {
            let keys: Vec<String> = schema
                .x_kubernetes_list_map_keys
                .iter()
                .flatten()
                .map(|key| code(key))
                .collect();
            bounds.push(format!("unique by {}", keys.join(", ")));
        }
        _ => {}
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items
        && items.properties.is_none()
    {
        bounds.extend(self::bounds(items).into_iter().map(|bound| format!("each {bound}")));
    }
    bounds
}

fn range<N: ToString>(least: Option<N>, most: Option<N>, unit: &str) -> Option<String> {
    match (least, most) {
        (Some(least), Some(most)) => Some(format!("{}–{}{unit}", least.to_string(), most.to_string())),
        (None, Some(most)) => Some(format!("≤ {}{unit}", most.to_string())),
        (Some(least), None) => Some(format!("≥ {}{unit}", least.to_string())),
        (None, None) => None,
    }
}
