// SPDX-License-Identifier: Apache-2.0

//! Raw spec to settings that cannot hold an invalid value. Pure.

use crate::{
    api::{DigitalMessagingInterface, interface as api},
    controller::{
        reason::Reason,
        trouble::{Stop, Trouble},
    },
    manager::{
        settings::{BotSettings, Escalation, InterfaceSettings, MenuEntry, ResponseCommand, SystemResponses},
        values::{Insecure, WebUrl},
    },
};

pub(super) fn settings(interface: &DigitalMessagingInterface, insecure: Insecure) -> Result<InterfaceSettings, Stop> {
    let spec = &interface.spec;
    let base_url = WebUrl::parse(&spec.base_url, insecure)
        .map_err(|error| Trouble::new(Reason::InvalidSpec, format!("spec.baseUrl {error}")))?;
    Ok(InterfaceSettings {
        display_name: spec.display_name.clone(),
        description: spec.description.clone(),
        template_operator: spec.template_operator.clone(),
        base_url,
        bot: spec.bot.clone().map(bot),
    })
}

fn bot(bot: api::Bot) -> BotSettings {
    BotSettings {
        languages: bot.languages,
        system_responses: bot.system_responses.map(|it| SystemResponses {
            welcome: it.welcome,
            no_match: it.no_match,
            multiple_match: it.multiple_match,
            error: it.error,
            authentication_prompt: it.authentication_prompt,
        }),
        response_commands: bot
            .response_commands
            .map(|commands| commands.into_iter().map(command).collect()),
        escalation: bot.escalation.map(|it| Escalation {
            after_no_matches: it.after_no_matches,
        }),
    }
}

fn command(command: api::ResponseCommand) -> ResponseCommand {
    ResponseCommand {
        name: command.name,
        triggers: command.triggers,
        texts: command.texts,
        menu: command
            .menu
            .into_iter()
            .map(|it| MenuEntry {
                label: it.label,
                payload: it.payload,
            })
            .collect(),
    }
}
