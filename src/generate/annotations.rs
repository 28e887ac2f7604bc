// SPDX-License-Identifier: Apache-2.0

//! The reference of labels, annotations and the finalizer.

use std::fmt::Write;

use super::markdown::code;
use crate::api::{FINALIZER, annotation, label};

/// Name, on what, what it does.
type Row = (&'static str, &'static str, &'static str);

const LABELS: &[Row] = &[
    (
        label::CREDENTIALS,
        "Secrets that you make",
        "With the value `true`: the operator may read it. A Secret without it is not read, whoever refers to it.",
    ),
    (
        label::OUTPUTS,
        "Secrets that the operator makes",
        "With the value `true`: holds what the manager generated for a connection.",
    ),
];

const REQUESTS: &[Row] = &[
    (
        annotation::APPROVE,
        "interface, connection",
        "The hash in `status.plan`: makes exactly these changes to exactly this state. Has no meaning for any other plan, so it may stay.",
    ),
    (
        annotation::RETRY,
        "all kinds",
        "Any new value: reconciles at once. On a `ManagerCredential` it also looks at the manager at once, and lets writes go on that \
         were frozen (`ObservationSuspicious`). The last value is remembered in `status.lastHandledRetry`.",
    ),
    (
        annotation::RECREATE,
        "interface, connection",
        "The lost ID (`status.id`), after `RemoteMissing`: makes a new object in its place, with a new ID, URLs and secrets. Has no \
         meaning for any other ID, so it may stay.",
    ),
    (
        annotation::TAKE_OVER,
        "interface, connection",
        "The ID of an object that `spec.adoption` finds: adopts it although another installation holds it. For one that is gone for good \
         and cannot let go; one that still runs says `ClaimLost`. Has no meaning for any other ID.",
    ),
    (
        annotation::ABANDON,
        "interface, connection",
        "`true`, on an object that is being deleted: lets it go at once and leaves the manager as it is.",
    ),
    (
        annotation::ROTATE_SECRET,
        "connection",
        "Any new value: has the manager make a new JWT secret, once for each value, and puts it into the outputs, whose content hash changes. \
         The manager honours the one before for its grace period; an event says until when. Waits for approval like any change, and under \
         `suspend`; what cannot be done is `RotationRefused`. The first 256 characters count; the last value is remembered in \
         `status.lastHandledRotation`.",
    ),
];

const SET: &[Row] = &[
    (
        annotation::OWNER,
        "Secret with outputs",
        "The external reference of the connection it belongs to. A Secret of the name without it, or with another, is not touched (`OutputConflict`).",
    ),
    (
        annotation::CONTENT_HASH,
        "Secret with outputs",
        "Changes whenever the content does, and says nothing about it: for programs that restart when it does.",
    ),
];

const FINALIZERS: &[Row] = &[(
    FINALIZER,
    "all kinds",
    "There only while something must be cleaned up at the manager: on an object with `deletion: Delete`, and on the interface and the \
     credential that this needs. Never on your Secrets.",
)];

/// The page.
pub(super) fn page() -> String {
    let mut page = String::from("# Labels, annotations, finalizer\n");
    for (heading, name, rows) in [
        ("Labels", "Label", LABELS),
        ("Annotations by which you ask for something", "Annotation", REQUESTS),
        ("Annotations that the operator sets", "Annotation", SET),
        ("Finalizer", "Finalizer", FINALIZERS),
    ] {
        // Writing to a string cannot fail.
        let _ = writeln!(page, "\n## {heading}\n\n| {name} | On | Meaning |\n|---|---|---|");
        for (name, on, meaning) in rows {
            let _ = writeln!(page, "| {} | {on} | {meaning} |", code(name));
        }
    }
    page
}
