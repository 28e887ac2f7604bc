// SPDX-License-Identifier: Apache-2.0

//! Interfaces.

use std::collections::BTreeSet;

use digital_messaging_contract::{
    interface::{Bot, InterfaceSpec, ResponseCommand},
    problem::Code,
};
use serde_json::Value;

use super::{Rules, decode::decode, findings::Findings, text::is_language_tag};
use crate::http::problem::Refusal;

/// Reads and checks an interface.
pub(crate) fn interface(value: Value, rules: Rules) -> Result<InterfaceSpec, Refusal> {
    let spec: InterfaceSpec = decode(value, "")?;
    let mut findings = Findings::default();
    findings.reference(spec.external_reference.as_ref(), spec.claimant.as_ref());
    findings.length("/displayName", &spec.display_name, 1, 100);
    findings.optional_length("/description", spec.description.as_ref(), 0, 1000);
    findings.length("/templateOperator", &spec.template_operator, 1, 128);
    base_url(&mut findings, &spec.base_url, rules);
    bot(&mut findings, &spec.bot);
    findings.into_result(Code::ValidationFailed)?;
    Ok(spec)
}

fn base_url(findings: &mut Findings, text: &str, rules: Rules) {
    if let Some(url) = findings.url("/baseUrl", text, rules) {
        let is_plain = url.query().is_none() && url.fragment().is_none();
        findings.require(is_plain, "/baseUrl", "must have no query and no fragment");
        findings.require(!text.ends_with('/'), "/baseUrl", "must not end with a slash");
    }
}

fn bot(findings: &mut Findings, bot: &Bot) {
    findings.count("/bot/languages", &bot.languages, 1, 32);
    languages(
        findings,
        "/bot/languages",
        bot.languages
            .iter()
            .enumerate()
            .map(|(index, tag)| (format!("/{index}"), tag)),
    );
    let responses = &bot.system_responses;
    for (name, text) in [
        ("welcome", &responses.welcome),
        ("noMatch", &responses.no_match),
        ("multipleMatch", &responses.multiple_match),
        ("error", &responses.error),
        ("authenticationPrompt", &responses.authentication_prompt),
    ] {
        findings.optional_length(format!("/bot/systemResponses/{name}"), text.as_ref(), 0, 1000);
    }
    findings.count("/bot/responseCommands", &bot.response_commands, 0, 64);
    let mut names = BTreeSet::new();
    for (index, command) in bot.response_commands.iter().enumerate() {
        let pointer = format!("/bot/responseCommands/{index}");
        findings.require(
            names.insert(&command.name),
            format!("{pointer}/name"),
            "another command has this name",
        );
        response_command(findings, &pointer, command);
    }
    let after = bot.escalation.after_no_matches;
    findings.require(
        (1..=20).contains(&after),
        "/bot/escalation/afterNoMatches",
        "must be from 1 to 20",
    );
}

fn response_command(findings: &mut Findings, pointer: &str, command: &ResponseCommand) {
    findings.length(format!("{pointer}/name"), &command.name, 1, 64);
    findings.count(format!("{pointer}/triggers"), &command.triggers, 1, 32);
    for (index, trigger) in command.triggers.iter().enumerate() {
        findings.length(format!("{pointer}/triggers/{index}"), trigger, 1, 256);
    }
    findings.count(format!("{pointer}/texts"), &command.texts, 1, 16);
    for (index, text) in command.texts.iter().enumerate() {
        findings.length(format!("{pointer}/texts/{index}"), text, 1, 1000);
    }
    findings.count(format!("{pointer}/menu"), &command.menu, 0, 16);
    for (index, entry) in command.menu.iter().enumerate() {
        findings.length(format!("{pointer}/menu/{index}/label"), &entry.label, 1, 100);
        findings.optional_length(format!("{pointer}/menu/{index}/payload"), entry.payload.as_ref(), 0, 256);
    }
}

/// Checks language tags, each at its place below the pointer, and that none comes twice.
pub(super) fn languages<'a>(findings: &mut Findings, pointer: &str, tags: impl Iterator<Item = (String, &'a String)>) {
    let mut seen = BTreeSet::new();
    for (place, tag) in tags {
        findings.require(
            is_language_tag(tag),
            format!("{pointer}{place}"),
            "must be a BCP 47 language tag, e.g. en or de-AT",
        );
        findings.require(
            seen.insert(tag),
            format!("{pointer}{place}"),
            "this language is there already",
        );
    }
}
