//! Cookies of the dashboard: the session, the theme, and a note for the next page. The session is
//! out of reach of scripts and is not sent along from other sites' forms.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use engine::portal_sessions::SESSION_MS as PORTAL_MS;
use engine::sign_ins::SESSION_MS;

use crate::http::answer::Answer;
use crate::http::call::Call;

const SESSION: &str = "farebox_session";
const THEME: &str = "farebox_theme";
const NOTE: &str = "farebox_note";
/// The portal's, which go to its pages alone.
const PORTAL: &str = "farebox_portal";
const PORTAL_NOTE: &str = "farebox_portal_note";
const NOTE_CHARS_MAX: usize = 600;
const NOTE_SECONDS: i64 = 60;

/// What the next page says first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub good: bool,
    pub text: String,
}

fn find(call: &Call, name: &str) -> Option<String> {
    let all = call.headers.get_all("cookie").iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|line| line.split(';')).filter_map(|pair| {
        let (key, value) = pair.trim().split_once('=')?;
        (key == name).then(|| value.to_owned())
    });
    pairs.next()
}

pub fn session(call: &Call) -> Option<String> {
    find(call, SESSION).filter(|token| !token.is_empty())
}

/// `light` or `dark`, where the person chose.
pub fn theme(call: &Call) -> Option<&'static str> {
    match find(call, THEME)?.as_str() {
        "light" => Some("light"),
        "dark" => Some("dark"),
        _ => None,
    }
}

/// The token of a customer's session in the portal.
pub fn portal(call: &Call) -> Option<String> {
    find(call, PORTAL).filter(|token| !token.is_empty())
}

pub fn note(call: &Call) -> Option<Note> {
    read_note(&find(call, NOTE)?)
}

pub fn portal_note(call: &Call) -> Option<Note> {
    read_note(&find(call, PORTAL_NOTE)?)
}

fn read_note(text: &str) -> Option<Note> {
    let text = URL_SAFE_NO_PAD.decode(text).ok()?;
    let text = String::from_utf8(text).ok()?;
    let (kind, text) = text.split_at_checked(1)?;
    Some(Note { good: kind == "+", text: text.chars().take(NOTE_CHARS_MAX).collect() })
}

fn cookie(name: &str, value: &str, seconds: i64, secure: bool) -> String {
    let secure = if secure { "; Secure" } else { "" };
    format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}")
}

pub fn with_session(answer: Answer, token: &str, secure: bool) -> Answer {
    answer.with("set-cookie", &cookie(SESSION, token, SESSION_MS / 1_000, secure))
}

pub fn without_session(answer: Answer, secure: bool) -> Answer {
    answer.with("set-cookie", &cookie(SESSION, "", 0, secure))
}

pub fn with_theme(answer: Answer, theme: &str, secure: bool) -> Answer {
    let year = 365 * 24 * 3_600;
    answer.with("set-cookie", &cookie(THEME, theme, year, secure))
}

pub fn with_note(answer: Answer, note: Option<&Note>, secure: bool) -> Answer {
    let Some(note) = note else { return answer };
    answer.with("set-cookie", &cookie(NOTE, &written(note), NOTE_SECONDS, secure))
}

fn written(note: &Note) -> String {
    let sign = if note.good { '+' } else { '-' };
    let text: String = note.text.chars().take(NOTE_CHARS_MAX).collect();
    URL_SAFE_NO_PAD.encode(format!("{sign}{text}"))
}

fn portal_cookie(name: &str, value: &str, seconds: i64, secure: bool) -> String {
    cookie(name, value, seconds, secure).replacen("Path=/", "Path=/portal", 1)
}

pub fn with_portal(answer: Answer, token: &str, secure: bool) -> Answer {
    answer.with("set-cookie", &portal_cookie(PORTAL, token, PORTAL_MS / 1_000, secure))
}

pub fn without_portal(answer: Answer, secure: bool) -> Answer {
    answer.with("set-cookie", &portal_cookie(PORTAL, "", 0, secure))
}

pub fn with_portal_note(answer: Answer, note: Option<&Note>, secure: bool) -> Answer {
    let Some(note) = note else { return answer };
    answer.with("set-cookie", &portal_cookie(PORTAL_NOTE, &written(note), NOTE_SECONDS, secure))
}

pub fn without_portal_note(answer: Answer) -> Answer {
    answer.with("set-cookie", &portal_cookie(PORTAL_NOTE, "", 0, false))
}

/// The note was shown.
pub fn without_note(answer: Answer) -> Answer {
    answer.with("set-cookie", &cookie(NOTE, "", 0, false))
}
