//! From a method and a path to what is wanted.

use server_api::Api;

use crate::http::{Method, Reply};

/// What a request wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    Generate(Api),
    Tokenize,
    Models,
    Health,
    Metrics,
    /// The truth of one request, or of all that are kept.
    Truth(Option<String>),
    /// The engine stops for so many milliseconds.
    Stall(u64),
}

/// # Errors
/// The answer to who asks for nothing that there is.
pub fn route(method: Method, path: &str) -> Result<Route, Reply> {
    let (wanted, route) = match path {
        "/tokenize" => (Method::Post, Route::Tokenize),
        "/v1/models" => (Method::Get, Route::Models),
        "/health" => (Method::Get, Route::Health),
        "/metrics" => (Method::Get, Route::Metrics),
        "/llmbench/truth" => (Method::Get, Route::Truth(None)),
        _ => {
            let truth = path.strip_prefix("/llmbench/truth/").map(|id| Route::Truth(Some(id.to_owned())));
            let stall = path.strip_prefix("/llmbench/stall/").and_then(|ms| ms.parse().ok()).map(Route::Stall);
            match (Api::at(path), truth, stall) {
                (Some(api), ..) => (Method::Post, Route::Generate(api)),
                (_, Some(truth), _) => (Method::Get, truth),
                (.., Some(stall)) => (Method::Post, stall),
                _ => {
                    return Err(Reply::error(
                        404,
                        &format!("there is no {path} here; see /v1/models and /v1/chat/completions"),
                    ));
                }
            }
        }
    };
    if method != wanted {
        let allow = if wanted == Method::Get { "GET" } else { "POST" };
        return Err(Reply::error(405, &format!("{path} takes {allow}")).with("allow", allow));
    }
    Ok(route)
}
