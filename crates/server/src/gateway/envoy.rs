//! Envoy's `ext_authz` over gRPC: `envoy.service.auth.v3.Authorization/Check`. One unary call, so the five bytes before
//! each message and the trailer after it are written here, and the few fields that are read or written declared.

use std::collections::HashMap;
use std::convert::Infallible;

use axum::body::Body;
use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::stream;
use grantor_gateway::{Ask, From};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use prost::Message;

use super::authz::{DECISION, REMOVE, left_over};
use crate::app::Shared;
use crate::http::Inbound;
use crate::http::answer::Answer;

/// `google.rpc.Code`.
const PERMISSION_DENIED: i32 = 7;
const UNAUTHENTICATED: i32 = 16;
/// gRPC statuses.
const OK: &str = "0";
const INVALID_ARGUMENT: &str = "3";

/// `envoy.service.auth.v3.CheckRequest`, as far as it is read.
#[derive(Clone, PartialEq, Message)]
struct CheckRequest {
    #[prost(message, optional, tag = "1")]
    attributes: Option<Attributes>,
}

#[derive(Clone, PartialEq, Message)]
struct Attributes {
    #[prost(message, optional, tag = "4")]
    request: Option<AttributeRequest>,
}

#[derive(Clone, PartialEq, Message)]
struct AttributeRequest {
    #[prost(message, optional, tag = "2")]
    http: Option<HttpRequest>,
}

#[derive(Clone, PartialEq, Message)]
struct HttpRequest {
    #[prost(string, tag = "2")]
    method: String,
    #[prost(map = "string, string", tag = "3")]
    headers: HashMap<String, String>,
    #[prost(string, tag = "4")]
    path: String,
    #[prost(string, tag = "5")]
    host: String,
}

/// `envoy.service.auth.v3.CheckResponse`.
#[derive(Clone, PartialEq, Message)]
struct CheckResponse {
    #[prost(message, optional, tag = "1")]
    status: Option<RpcStatus>,
    #[prost(message, optional, tag = "2")]
    denied: Option<Denied>,
    #[prost(message, optional, tag = "3")]
    ok: Option<Allowed>,
}

#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Denied {
    #[prost(message, optional, tag = "1")]
    status: Option<HttpStatus>,
    #[prost(message, repeated, tag = "2")]
    headers: Vec<HeaderOption>,
    #[prost(string, tag = "3")]
    body: String,
}

#[derive(Clone, PartialEq, Message)]
struct HttpStatus {
    #[prost(int32, tag = "1")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Allowed {
    #[prost(message, repeated, tag = "2")]
    headers: Vec<HeaderOption>,
    #[prost(string, repeated, tag = "5")]
    headers_to_remove: Vec<String>,
}

/// `envoy.config.core.v3.HeaderValueOption`: by default, a header replaces one of its name.
#[derive(Clone, PartialEq, Message)]
struct HeaderOption {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
}

#[derive(Clone, PartialEq, Message)]
struct Header {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

fn options(headers: &HeaderMap) -> Vec<HeaderOption> {
    let text = |value: &HeaderValue| value.to_str().unwrap_or_default().to_owned();
    let option = |(name, value): (&HeaderName, &HeaderValue)| HeaderOption {
        header: Some(Header { key: name.to_string(), value: text(value) }),
    };
    headers.iter().map(option).collect()
}

/// `POST /envoy.service.auth.v3.Authorization/Check`.
pub(crate) async fn check(app: Shared, mut inbound: Inbound) -> Answer {
    let read = inbound.bytes().await.ok();
    let request = read.as_deref().and_then(message).and_then(|bytes| CheckRequest::decode(bytes).ok());
    let http = request.and_then(|request| request.attributes?.request?.http);
    match http {
        Some(http) => answer(OK, Some(&judged(&app, &inbound, http).await)),
        None => answer(INVALID_ARGUMENT, None),
    }
}

/// The one message in a gRPC body: no compression, its length, its bytes.
fn message(body: &[u8]) -> Option<&[u8]> {
    let (head, rest) = body.split_at_checked(5)?;
    let (flag, length) = head.split_first()?;
    let length = u32::from_be_bytes(length.try_into().ok()?);
    (*flag == 0 && u32::try_from(rest.len()).ok() == Some(length)).then_some(rest)
}

fn answer(status: &'static str, message: Option<&CheckResponse>) -> Answer {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(status));
    let mut frames: Vec<Result<Frame<Bytes>, Infallible>> = Vec::new();
    if let Some(message) = message {
        let bytes = message.encode_to_vec();
        let mut framed = BytesMut::with_capacity(5 + bytes.len());
        framed.put_u8(0);
        framed.put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        framed.extend_from_slice(&bytes);
        frames.push(Ok(Frame::data(framed.freeze())));
    }
    frames.push(Ok(Frame::trailers(trailers)));
    let mut response = http::Response::new(Body::new(StreamBody::new(stream::iter(frames))));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    Answer::from_response(response)
}

async fn judged(app: &Shared, inbound: &Inbound, http: HttpRequest) -> CheckResponse {
    let mut headers = HeaderMap::new();
    for (name, value) in &http.headers {
        // Envoy tells of pseudo-headers as well; they are fields of their own here.
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    }
    let method: Method = http.method.parse().unwrap_or_default();
    let path = http.path.split('?').next().unwrap_or_default();
    let context = &inbound.context;
    let from = From { now: context.now, address: context.address, secure: context.secure };
    let ask = Ask { now: from.now, method: &method, host: &http.host, path, headers: &headers, address: from.address };
    let gateway = &app.gateway.gateway;
    match gateway.ask(from, &ask).await {
        Ok(allowed) => {
            let mut told = HeaderMap::new();
            if let Some(known) = &allowed.known {
                known.identity.write(&mut told);
            }
            told.insert(DECISION, gateway.next_id());
            let headers_to_remove = left_over(&headers, &told);
            let ok = Allowed { headers: options(&told), headers_to_remove };
            CheckResponse { status: Some(RpcStatus { code: 0 }), denied: None, ok: Some(ok) }
        }
        Err(refused) => {
            let (head, body) = refused.into_parts();
            let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let code = if head.status == StatusCode::UNAUTHORIZED { UNAUTHENTICATED } else { PERMISSION_DENIED };
            let denied = Denied {
                status: Some(HttpStatus { code: i32::from(head.status.as_u16()) }),
                headers: options(&head.headers),
                body: String::from_utf8_lossy(&body).into_owned(),
            };
            CheckResponse { status: Some(RpcStatus { code }), denied: Some(denied), ok: None }
        }
    }
}

/// Names the headers that Envoy takes off before it hands a call on.
pub(crate) fn remove_header(headers: &HeaderMap, told: &HeaderMap) -> Option<(HeaderName, HeaderValue)> {
    let names = left_over(headers, told).join(",");
    Some((REMOVE, HeaderValue::from_str(&names).ok()?)).filter(|_| !names.is_empty())
}

#[cfg(test)]
mod tests {
    use super::message;

    #[test]
    fn one_whole_message_is_read() {
        assert_eq!(message(&[0, 0, 0, 0, 2, 7, 8]), Some([7, 8].as_slice()));
        assert_eq!(message(&[0, 0, 0, 0, 0]), Some([].as_slice()));
        for bad in [vec![], vec![0, 0, 0, 0], vec![1, 0, 0, 0, 1, 7], vec![0, 0, 0, 0, 2, 7], vec![0, 0, 0, 0, 1, 7, 8]]
        {
            assert_eq!(message(&bad), None, "{bad:?}");
        }
    }
}
