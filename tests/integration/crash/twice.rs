// SPDX-License-Identifier: Apache-2.0

//! Answers that are lost while the operator lives on, and writes that something on the way delivers twice.

use rstest::rstest;

use super::{
    References,
    change::{Approved, ChannelSecret, SpecChange},
    explore_with,
    first::{Adoption, FirstCreation, MadeAnew},
    going::Deletion,
};
use crate::scene::Mishap;

const LOST: (&str, &[Mishap]) = ("lost-answer", &[Mishap::ReplyLost]);
const TWICE: (&str, &[Mishap]) = ("delivered-twice", &[Mishap::Twice]);

#[rstest]
#[case::unique_references(References::Unique)]
#[case::references_not_unique(References::NotUnique)]
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_to_any_write_of_a_creation_makes_nothing_twice(#[case] references: References) {
    explore_with::<FirstCreation>(references, LOST.0, LOST.1).await;
    explore_with::<MadeAnew>(references, LOST.0, LOST.1).await;
}

#[rstest]
#[case::unique_references(References::Unique)]
#[case::references_not_unique(References::NotUnique)]
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_to_any_write_of_a_change_or_deletion_comes_to_the_same_end(#[case] references: References) {
    explore_with::<Adoption>(references, LOST.0, LOST.1).await;
    explore_with::<SpecChange>(references, LOST.0, LOST.1).await;
    explore_with::<Approved>(references, LOST.0, LOST.1).await;
    explore_with::<ChannelSecret>(references, LOST.0, LOST.1).await;
    explore_with::<Deletion>(references, LOST.0, LOST.1).await;
}

/// Only where references are unique: a manager that makes what it is asked for twice does so when the network asks twice,
/// and no client can prevent that.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_is_delivered_twice_counts_once() {
    let references = References::Unique;
    explore_with::<FirstCreation>(references, TWICE.0, TWICE.1).await;
    explore_with::<MadeAnew>(references, TWICE.0, TWICE.1).await;
    explore_with::<SpecChange>(references, TWICE.0, TWICE.1).await;
    explore_with::<Approved>(references, TWICE.0, TWICE.1).await;
    explore_with::<Deletion>(references, TWICE.0, TWICE.1).await;
}
