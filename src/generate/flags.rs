// SPDX-License-Identifier: Apache-2.0

//! The reference of the command line.

use std::fmt::Write;

use clap::{Arg, ArgAction, Command, CommandFactory};

use super::markdown::{cell, code};
use crate::cli::Cli;

/// The page.
pub(super) fn page() -> String {
    let mut page = String::from(
        "# Command line\n\n\
         Every option of `run` is also an environment variable; an option that is given wins. A switch is turned on by \
         `true` in its variable.\n\n\
         The Kubernetes API is found as kubectl finds it (`KUBECONFIG`, `~/.kube/config`), or in a pod by the service account. \
         `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` are honoured. Behind a proxy the proxy resolves names, so there only the name \
         of a manager is checked, not its address.\n",
    );
    let command = Cli::command();
    for subcommand in command.get_subcommands() {
        add(&mut page, subcommand);
    }
    page
}

fn add(page: &mut String, command: &Command) {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    // Writing to a string cannot fail.
    let _ = writeln!(
        page,
        "\n## `digital-messaging-operator {}`\n\n{}.",
        command.get_name(),
        about.trim_end_matches('.')
    );
    let mut options = command
        .get_arguments()
        .filter(|argument| argument.get_long().is_some())
        .peekable();
    if options.peek().is_some() {
        page.push_str("\n| Option | Variable | Default | Meaning |\n|---|---|---|---|\n");
    }
    for option in options {
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} |",
            code(&name(option)),
            option.get_env().map(|name| code(&name.to_string_lossy())).unwrap_or_default(),
            default(option),
            cell(&meaning(option)),
        );
    }
}

fn takes_value(option: &Arg) -> bool {
    matches!(option.get_action(), ArgAction::Set | ArgAction::Append)
}

fn name(option: &Arg) -> String {
    let long = option.get_long().unwrap_or_default();
    let value = option.get_value_names().and_then(<[_]>::first);
    match value.filter(|_| takes_value(option)) {
        Some(value) => format!("--{long} <{value}>"),
        None => format!("--{long}"),
    }
}

fn default(option: &Arg) -> String {
    if !takes_value(option) {
        return "off".to_owned();
    }
    let values: Vec<String> = option
        .get_default_values()
        .iter()
        .map(|value| code(&value.to_string_lossy()))
        .collect();
    values.join(", ")
}

fn meaning(option: &Arg) -> String {
    let help = option.get_long_help().or_else(|| option.get_help());
    let mut text = help.map(ToString::to_string).unwrap_or_default();
    if !text.ends_with('.') {
        text.push('.');
    }
    let values: Vec<String> = option
        .get_possible_values()
        .iter()
        .map(|value| code(value.get_name()))
        .collect();
    if takes_value(option) && !values.is_empty() {
        let _ = write!(text, " One of {}.", values.join(", "));
    }
    text
}
