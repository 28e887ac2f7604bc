// SPDX-License-Identifier: Apache-2.0

//! What the operator reports fits the schema.

use digital_messaging_operator::api::{
    ChannelConnection, ChannelConnectionStatus, ChannelType, Condition, ConditionStatus, ConditionType, CorrectedDrift, Creation,
    DigitalMessagingInterface, DigitalMessagingInterfaceStatus, Drift, LastApplied, ManagerCredential, ManagerCredentialStatus,
    Plan, PlannedChange, connection, interface, manager_credential,
};
use k8s_openapi::{NamespaceResourceScope, apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use kube::{Api, Client, Resource, api::PostParams};
use sandbox::Manifests;
use serde::{Serialize, de::DeserializeOwned};

use super::{cluster, repository};

/// Writes a status and checks that the API server keeps all of it.
async fn assert_kept<K>(client: &Client, namespace: &str, name: &str, status: impl Serialize)
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Serialize + std::fmt::Debug,
{
    let status = serde_json::to_value(status).unwrap();
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let mut object = serde_json::to_value(api.get(name).await.unwrap()).unwrap();
    object["status"] = status.clone();
    let object: K = serde_json::from_value(object).unwrap();
    api.replace_status(name, &PostParams::default(), &object).await.unwrap();
    let kept = serde_json::to_value(api.get(name).await.unwrap()).unwrap();
    assert_eq!(kept["status"], status);
}

fn all_conditions() -> Vec<Condition> {
    use ConditionType::{Authenticated, Drifted, Ready, Reconciling, Stalled, Synced};
    let condition = |type_| Condition {
        type_,
        status: ConditionStatus::True,
        reason: "AsDeclared".to_owned(),
        message: "It is as declared".to_owned(),
        last_transition_time: Time(Timestamp::UNIX_EPOCH),
        observed_generation: Some(1),
    };
    [Ready, Synced, Authenticated, Drifted, Reconciling, Stalled]
        .map(condition)
        .into()
}

fn plan() -> Plan {
    let change = PlannedChange {
        field: "/displayName".to_owned(),
        from: Some("A".to_owned()),
        to: None,
        destructive: true,
    };
    Plan {
        hash: "0123abcd".to_owned(),
        changes: vec![change],
        truncated: Some(1),
    }
}

fn drift() -> Drift {
    Drift {
        fields: vec!["/displayName".to_owned()],
        since: Time(Timestamp::UNIX_EPOCH),
    }
}

fn corrected() -> CorrectedDrift {
    CorrectedDrift {
        fields: vec!["/displayName".to_owned()],
        detected_at: Time(Timestamp::UNIX_EPOCH),
        corrected_at: Time(Timestamp::UNIX_EPOCH),
    }
}

fn last_applied() -> LastApplied {
    LastApplied {
        hash: "0123abcd".to_owned(),
        fields: vec!["/displayName".to_owned()],
    }
}

fn text() -> String {
    "text".to_owned()
}

fn creation() -> Creation {
    Creation {
        started_at: Time(Timestamp::UNIX_EPOCH),
        epoch: 1_767_225_600,
    }
}

#[tokio::test]
async fn a_status_with_everything_in_it_is_kept() {
    let (client, namespace) = cluster().await;
    Manifests::read(&repository("examples/full"))
        .unwrap()
        .in_namespace(&namespace)
        .apply(&client)
        .await
        .unwrap();

    let status = ManagerCredentialStatus {
        manager_id: Some(text()),
        account: Some(text()),
        identity: Some(manager_credential::Identity {
            name: text(),
            region: text(),
            api_version: text(),
        }),
        active_key: Some(manager_credential::ActiveKey {
            fingerprint: text(),
            secret_resource_version: text(),
        }),
        channels: ChannelType::ALL
            .map(|channel_type| manager_credential::OfferedChannel {
                channel_type,
                support: manager_credential::ChannelSupport::AdoptOnly,
            })
            .into(),
        reachability: Some(manager_credential::Reachability {
            breaker: manager_credential::Breaker::Open,
            max_concurrent_requests: Some(1),
            next_attempt_time: Some(Time(Timestamp::UNIX_EPOCH)),
            cause: Some(text()),
        }),
        last_handled_retry: Some(text()),
        observed_generation: Some(-1),
        conditions: all_conditions(),
    };
    assert_kept::<ManagerCredential>(&client, &namespace, "acme-manager", status).await;

    let status = DigitalMessagingInterfaceStatus {
        id: Some(text()),
        account: Some(text()),
        callback_url: Some(text()),
        connections: Some(interface::ConnectionCounts { desired: 2, ready: 1 }),
        creation: Some(creation()),
        plan: Some(plan()),
        drift: Some(drift()),
        last_drift: Some(corrected()),
        last_applied: Some(last_applied()),
        last_handled_retry: Some(text()),
        observed_generation: Some(-1),
        last_approved_plan: Some("a".repeat(32)),
        conditions: all_conditions(),
    };
    assert_kept::<DigitalMessagingInterface>(&client, &namespace, "acme-support", status).await;

    let status = ChannelConnectionStatus {
        id: Some(text()),
        account: Some(text()),
        channel_type: Some(ChannelType::WebMessaging),
        state: Some(connection::ConnectionState::PendingAuthorization),
        webhook_url: Some(text()),
        widget: Some(connection::Widget {
            id: text(),
            script_url: text(),
        }),
        outputs: Some(connection::OutputsStatus {
            secret_name: text(),
            content_hash: text(),
            secret_rotation: Some(text()),
            missing: vec![text()],
        }),
        sent_secrets: Some(connection::SentSecrets {
            secret_uid: text(),
            resource_version: text(),
            key_id: text(),
            hmac: text(),
        }),
        creation: Some(creation()),
        plan: Some(plan()),
        drift: Some(drift()),
        last_drift: Some(corrected()),
        last_applied: Some(last_applied()),
        last_handled_retry: Some(text()),
        observed_generation: Some(-1),
        last_approved_plan: Some("a".repeat(32)),
        last_handled_rotation: Some(text()),
        conditions: all_conditions(),
    };
    assert_kept::<ChannelConnection>(&client, &namespace, "acme-web", status).await;
}
