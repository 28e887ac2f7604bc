// SPDX-License-Identifier: Apache-2.0

//! Collects what is wrong, field by field.

use digital_messaging_contract::problem::{Code, FieldProblem};
use url::Url;

use super::Rules;
use crate::http::problem::Refusal;

/// The problems found so far.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<FieldProblem>);

impl Findings {
    pub(super) fn add(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        self.0.push(FieldProblem {
            pointer: pointer.into(),
            detail: detail.into(),
        });
    }

    /// Adds a problem unless the condition holds.
    pub(super) fn require(&mut self, holds: bool, pointer: impl Into<String>, detail: impl Into<String>) {
        if !holds {
            self.add(pointer, detail);
        }
    }

    /// Checks the number of characters.
    pub(super) fn length(&mut self, pointer: impl Into<String>, text: &str, min: usize, max: usize) {
        let length = text.chars().count();
        self.require(
            (min..=max).contains(&length),
            pointer,
            format!("must have {min} to {max} characters"),
        );
    }

    /// Checks the number of characters of an optional text.
    pub(super) fn optional_length(&mut self, pointer: impl Into<String>, text: Option<&String>, min: usize, max: usize) {
        if let Some(text) = text {
            self.length(pointer, text, min, max);
        }
    }

    /// Checks the number of items.
    pub(super) fn count<T>(&mut self, pointer: impl Into<String>, items: &[T], min: usize, max: usize) {
        self.require(
            (min..=max).contains(&items.len()),
            pointer,
            format!("must have {min} to {max} items"),
        );
    }

    /// Checks a URL that the manager or a browser will call.
    pub(super) fn url(&mut self, pointer: &str, text: &str, rules: Rules) -> Option<Url> {
        self.length(pointer, text, 1, 1024);
        let url = match Url::parse(text) {
            Ok(url) if url.has_host() => url,
            _ => {
                self.add(pointer, "must be an absolute URL");
                return None;
            }
        };
        match url.scheme() {
            "https" => {}
            "http" if rules.allow_insecure_urls => {}
            _ => self.add(pointer, "must be https"),
        }
        self.require(
            url.username().is_empty() && url.password().is_none(),
            pointer,
            "must not contain credentials",
        );
        Some(url)
    }

    /// Checks the client's own name of an object and who claims it.
    pub(super) fn reference(&mut self, external_reference: Option<&String>, claimant: Option<&String>) {
        self.optional_length("/externalReference", external_reference, 1, 512);
        self.optional_length("/claimant", claimant, 1, 64);
        let claims_nothing = claimant.is_some() && external_reference.is_none();
        self.require(!claims_nothing, "/claimant", "needs an externalReference");
    }

    pub(super) fn into_result(self, code: Code) -> Result<(), Refusal> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Refusal::fields(code, self.0))
        }
    }
}
