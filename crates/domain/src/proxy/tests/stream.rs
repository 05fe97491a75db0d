//! Promises about streams: what is passed on, what is held back, what is counted.

use bytes::Bytes;
use proptest::prelude::*;

use crate::proxy::sse::SseError;
use crate::proxy::stream::{Next, StreamMeter};
use crate::proxy::usage::Protocol;
use crate::proxy::*;

const CHAT: &str = concat!(
    ": ping\n\n",
    "data: {\"id\":\"1\",\"model\":\"gpt-5-x\",\"choices\":[{\"index\":0,",
    "\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}],\"usage\":null}\n\n",
    "data: {\"choices\":[{\"delta\":{\"content\":\"hé\"}},{\"delta\":{\"content\":\"abc\"}}]}\n\n",
    "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":",
    "{\"name\":\"go\",\"arguments\":\"{\\\"a\\\":1}\"}}]}}]}\n\n",
    "data: {\"choices\":[{\"delta\":{\"reasoning\":\"ab\",\"reasoning_content\":\"ab\"}}]}\n\n",
    "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}],\"service_tier\":\"flex\"}\n\n",
);
const USAGE: &str =
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":7}}\n\n";
const DONE: &str = "data: [DONE]\n\n";
const MESSAGES: &str = concat!(
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"claude-x\",",
    "\"usage\":{\"input_tokens\":9,\"output_tokens\":1,\"service_tier\":\"standard\"}}}\n\n",
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,",
    "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
    "event: ping\ndata: {\"type\":\"ping\"}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,",
    "\"delta\":{\"type\":\"text_delta\",\"text\":\"hello\"}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,",
    "\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{}\"}}\n\n",
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},",
    "\"usage\":{\"output_tokens\":42}}\n\n",
);
const STOP: &str = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

struct Run {
    relayed: String,
    next: Next,
    meter: StreamMeter,
}

fn run(mut meter: StreamMeter, reads: &[&[u8]]) -> Result<Run, SseError> {
    let (mut relayed, mut next) = (Vec::new(), Next::More);
    for read in reads {
        let step = meter.feed(Bytes::copy_from_slice(read))?;
        step.relay.iter().for_each(|piece| relayed.extend_from_slice(piece));
        next = step.next;
        if next != Next::More {
            break;
        }
    }
    Ok(Run { relayed: String::from_utf8(relayed).unwrap(), next, meter })
}

fn chat(wants_usage: bool) -> StreamMeter {
    StreamMeter::new(Protocol::Chat, wants_usage, u64::MAX)
}

#[test]
fn usage_is_held_back_from_who_did_not_ask_and_done_from_all() {
    let stream = [CHAT, USAGE, DONE].concat();
    for (wants, relayed) in [(true, [CHAT, USAGE].concat()), (false, CHAT.to_owned())] {
        let run = run(chat(wants), &[stream.as_bytes()]).unwrap();
        assert_eq!(run.relayed, relayed, "{wants}");
        assert_eq!(run.next, Next::Last);
        assert_eq!(run.meter.last_line().unwrap(), DONE);
        let quantities = run.meter.seen().usage.unwrap().quantities;
        assert_eq!((quantities.prompt_tokens(), quantities.completion_tokens()), (5, 7));
    }
}

#[test]
fn usage_beside_choices_that_say_nothing_is_a_usage_chunk_after_the_end() {
    let usage = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}],\"usage\":\
                 {\"prompt_tokens\":5,\"completion_tokens\":7}}\n\n";
    let stream = [usage, CHAT, usage, DONE].concat();
    let run = run(chat(false), &[stream.as_bytes()]).unwrap();
    assert_eq!(run.relayed, [usage, CHAT].concat());
}

#[test]
fn a_read_of_whole_events_goes_on_as_one_piece() {
    let mut meter = chat(false);
    let read = Bytes::from(CHAT);
    let step = meter.feed(read.clone()).unwrap();
    assert_eq!(step.relay, [read]);
    let step = meter.feed(Bytes::from("data: {\"choi")).unwrap();
    assert!(step.relay.is_empty(), "what is cut is not passed on");
}

#[test]
fn text_reasoning_and_tools_count_over_all_choices() {
    let run = run(chat(false), &[CHAT.as_bytes()]).unwrap();
    let seen = run.meter.seen();
    assert_eq!(seen.output_bytes, 3 + 3 + 2 + 7 + 2);
    assert_eq!(run.meter.output_tokens(), 8);
    assert_eq!(seen.model.as_deref(), Some("gpt-5-x"));
    assert_eq!(seen.service_tier.as_deref(), Some("flex"));
    assert_eq!(seen.finish_reason.as_deref(), Some("stop"));
    assert!(!seen.failed && !seen.ended && seen.usage.is_none());
}

#[test]
fn an_event_over_the_budget_waits_for_more() {
    let event = "data: {\"choices\":[{\"delta\":{\"content\":\"abcdefghijkl\"}}]}\n\n";
    let meter = StreamMeter::new(Protocol::Chat, false, 9);
    let stream = [event, event, event, DONE].concat();
    let mut run = run(meter, &[stream.as_bytes()]).unwrap();
    assert_eq!(run.relayed, event);
    assert_eq!(run.next, Next::OverBudget { tokens: 10 });
    assert_eq!(run.meter.output_tokens(), 5);
    assert!(run.meter.has_used_percent(50) && !run.meter.has_used_percent(70));
    assert_eq!(run.meter.resume().unwrap().next, Next::OverBudget { tokens: 10 });
    run.meter.set_budget(15);
    let step = run.meter.resume().unwrap();
    assert_eq!(step.relay.concat(), [event, event].concat().as_bytes());
    assert_eq!(step.next, Next::Last);
}

#[test]
fn messages_take_the_last_output_figure_and_hold_back_their_stop() {
    let stream = [MESSAGES, STOP].concat();
    let meter = StreamMeter::new(Protocol::Messages, false, u64::MAX);
    let run = run(meter, &[stream.as_bytes()]).unwrap();
    assert_eq!(run.relayed, MESSAGES);
    assert_eq!((run.next, run.meter.last_line().unwrap()), (Next::Last, Bytes::from(STOP)));
    let seen = run.meter.seen();
    let quantities = seen.usage.unwrap().quantities;
    assert_eq!((quantities.get(Class::Input), quantities.get(Class::Output)), (9, 42));
    assert_eq!(seen.output_bytes, 7);
    assert_eq!(seen.finish_reason.as_deref(), Some("end_turn"));
    assert_eq!(seen.service_tier.as_deref(), Some("standard"));
    assert_eq!(seen.model.as_deref(), Some("claude-x"));
}

#[test]
fn a_message_that_is_cut_off_has_no_usage() {
    let start = &MESSAGES[..MESSAGES.find("event: message_delta").unwrap()];
    let meter = StreamMeter::new(Protocol::Messages, false, u64::MAX);
    let cut = run(meter, &[start.as_bytes()]).unwrap();
    assert_eq!((cut.meter.seen().usage, cut.meter.seen().open_block), (None, Some(0)));
}

#[test]
fn odd_events_are_passed_on_and_counted_when_they_cannot_be_read() {
    let table = [
        ("data: {\"choices\":null}\n\n", 0, false),
        ("data: {\"error\":{\"code\":502,\"message\":\"x\"},\"choices\":[]}\n\n", 0, true),
        ("data: {\"error\":null,\"choices\":[]}\n\n", 0, false),
        ("data: hello\n\n", 5, false),
        ("data: {\"choices\":[{\"delta\":null,\"text\":\"abc\"}]}\n\n", 3, false),
        ("data: {\"choices\":[{\"delta\":{\"content\":null,\"refusal\":\"no\"}}]}\n\n", 2, false),
        ("data: {\"choices\":[{\"delta\":{\"audio\":{\"transcript\":\"hi\"}}}]}\n\n", 2, false),
        ("event: x\n\n", 0, false),
    ];
    for (event, bytes, failed) in table {
        let run = run(chat(false), &[event.as_bytes()]).unwrap();
        assert_eq!(run.relayed, event);
        assert_eq!(run.meter.seen().output_bytes, bytes, "{event}");
        assert_eq!(run.meter.seen().failed, failed, "{event}");
    }
}

#[test]
fn the_end_may_come_without_its_empty_line() {
    let mut run = run(chat(false), &[CHAT.as_bytes(), b"data: [DONE]"]).unwrap();
    assert_eq!(run.next, Next::More);
    assert_eq!(run.meter.finish().next, Next::Last);
    assert!(run.meter.seen().ended);
    assert_eq!(run.meter.finish().next, Next::More, "once");
}

#[test]
fn nothing_is_read_after_the_last_event() {
    let stream = [DONE, CHAT].concat();
    let mut run = run(chat(false), &[stream.as_bytes()]).unwrap();
    assert_eq!((run.relayed.as_str(), run.next), ("", Next::Last));
    assert_eq!(run.meter.resume().unwrap().relay.concat(), b"");
}

proptest! {
    #[test]
    fn reads_may_be_cut_anywhere(cuts in prop::collection::vec(0_usize..2_000, 0..12)) {
        let stream = [CHAT, USAGE, DONE].concat().into_bytes();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut % stream.len()).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let reads: Vec<&[u8]> = cuts.windows(2).map(|w| &stream[w[0]..w[1]]).collect();
        let cut = run(chat(false), &reads).unwrap();
        let whole = run(chat(false), &[&stream]).unwrap();
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        let single = run(chat(false), &bytes).unwrap();
        prop_assert_eq!(&cut.relayed, CHAT);
        prop_assert_eq!(&single.relayed, CHAT);
        prop_assert_eq!(cut.meter.seen(), whole.meter.seen());
        prop_assert_eq!(single.meter.seen(), whole.meter.seen());
    }
}
