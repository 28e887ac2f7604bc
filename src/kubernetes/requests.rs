// SPDX-License-Identifier: Apache-2.0

//! Counts requests to the API server as client-go does: each attempt once, when its answer begins or when there will be
//! none. So a watch counts when it is opened, and one that was given up before an answer came is an error.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use futures::future::BoxFuture;
use http::{Method, Request, Response, StatusCode, Uri};
use tower::{Layer, Service};

use crate::telemetry::metrics::Metrics;

/// Puts the count around a client. Below everything that makes a request wait or sends it again.
#[derive(Clone)]
pub(super) struct Counting {
    metrics: Arc<Metrics>,
    host: Arc<str>,
}

impl Counting {
    /// Counts requests to the API server at this address.
    pub(super) fn new(metrics: Arc<Metrics>, server: &Uri) -> Self {
        // Not the whole authority: it may begin with somebody's name and password.
        let host = match (server.host(), server.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (Some(host), None) => host.to_owned(),
            (None, _) => "none".to_owned(),
        };
        Self {
            metrics,
            host: host.into(),
        }
    }
}

impl<S> Layer<S> for Counting {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted {
            inner,
            counting: self.clone(),
        }
    }
}

/// A client whose requests are counted.
#[derive(Clone)]
pub(super) struct Counted<S> {
    inner: S,
    counting: Counting,
}

impl<S, B, A> Service<Request<B>> for Counted<S>
where
    S: Service<Request<B>, Response = Response<A>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut attempt = Attempt {
            counting: self.counting.clone(),
            method: name(request.method()),
            answer: None,
        };
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            if let Ok(answer) = &answer {
                attempt.answered(answer.status());
            }
            answer
        })
    }
}

/// A closed set: `Method` can hold any word.
fn name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

/// Counts when it ends, whichever way.
struct Attempt {
    counting: Counting,
    method: &'static str,
    answer: Option<StatusCode>,
}

impl Attempt {
    fn answered(&mut self, status: StatusCode) {
        self.answer = Some(status);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let Counting { metrics, host } = &self.counting;
        metrics.api_request(self.method, self.answer, host);
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, io};

    use tower::{ServiceExt, service_fn};

    use super::*;

    async fn answers(request: Request<()>) -> io::Result<Response<()>> {
        let mut answer = Response::new(());
        match request.uri().path() {
            "/made" => *answer.status_mut() = StatusCode::CREATED,
            "/broken" => return Err(io::Error::other("https://somebody:password@example is away")),
            "/silent" => pending().await,
            _ => {}
        }
        Ok(answer)
    }

    fn counted(text: &str) -> Vec<&str> {
        let mut lines: Vec<&str> = text.lines().filter(|line| line.starts_with("rest_client_")).collect();
        lines.sort_unstable();
        lines
    }

    #[tokio::test]
    async fn each_attempt_counts_once_whichever_way_it_ends() {
        let metrics = Arc::new(Metrics::default());
        let counting = Counting::new(metrics.clone(), &Uri::from_static("https://somebody:password@10.96.0.1:443/"));
        let client = counting.layer(service_fn(answers));
        let send = |method: &str, path: &str| {
            let request = Request::builder().method(method).uri(path).body(()).unwrap();
            client.clone().oneshot(request)
        };
        send("GET", "/").await.unwrap();
        send("GET", "/").await.unwrap();
        send("POST", "/made").await.unwrap();
        send("BREW", "/").await.unwrap();
        send("PUT", "/broken").await.unwrap_err();
        tokio::select! {
            biased;
            _ = send("GET", "/silent") => unreachable!("it is never answered"),
            () = async {} => {}
        }
        assert_eq!(
            counted(&metrics.encode().unwrap()),
            [
                r#"rest_client_requests_total{code="200",method="GET",host="10.96.0.1:443"} 2"#,
                r#"rest_client_requests_total{code="200",method="other",host="10.96.0.1:443"} 1"#,
                r#"rest_client_requests_total{code="201",method="POST",host="10.96.0.1:443"} 1"#,
                r#"rest_client_requests_total{code="<error>",method="GET",host="10.96.0.1:443"} 1"#,
                r#"rest_client_requests_total{code="<error>",method="PUT",host="10.96.0.1:443"} 1"#,
            ]
        );
    }

    #[test]
    fn the_host_is_as_it_is_configured() {
        for (server, host) in [
            ("https://kubernetes.default.svc", "kubernetes.default.svc"),
            ("https://[::1]:6443/prefix", "[::1]:6443"),
        ] {
            let counting = Counting::new(Arc::default(), &Uri::from_static(server));
            assert_eq!(&*counting.host, host);
        }
    }
}
