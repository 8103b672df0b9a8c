//! Ids that never repeat, resuming, and what survives which end.

use super::*;
use crate::api::views::Hash;
use cairn_store::testing::SimulatedDisk;

const IDENTITY: [u8; 32] = [7; 32];

fn event(height: u64) -> EventView {
    EventView::Finality { height, id: Hash::default() }
}

fn publish(events: &Events, heights: std::ops::Range<u64>) {
    events.publish(heights.map(event).map(News::One).collect()).unwrap();
}

/// The ids that a subscription can take without waiting.
fn take_ids(subscription: &mut Subscription) -> Vec<u64> {
    let mut ids = Vec::new();
    while let Some(Delivery::Frames(frames)) = subscription.take() {
        let text = String::from_utf8(frames.to_vec()).unwrap();
        ids.extend(text.lines().filter_map(|line| line.strip_prefix("id: ")?.parse::<u64>().ok()));
    }
    ids
}

fn first_text(subscription: &mut Subscription) -> String {
    match subscription.take() {
        Some(Delivery::Frames(bytes) | Delivery::Last(bytes)) => String::from_utf8(bytes.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_listener_gets_what_comes_and_can_go_on_where_it_was() {
    let events = Events::open(Arc::new(SimulatedDisk::new(1)), IDENTITY, 1).unwrap();
    publish(&events, 0..3);
    let mut now = events.subscribe(None).unwrap();
    let mut all = events.subscribe(Some(0)).unwrap();
    publish(&events, 3..5);
    assert_eq!(take_ids(&mut now), [4, 5]);
    assert_eq!(take_ids(&mut all), [1, 2, 3, 4, 5]);
    assert_eq!(take_ids(&mut events.subscribe(Some(4)).unwrap()), [5]);
    assert_eq!(take_ids(&mut events.subscribe(Some(5)).unwrap()), [0_u64; 0]);
}

#[test]
fn who_asks_for_what_never_was_is_told_to_start_anew() {
    let events = Events::open(Arc::new(SimulatedDisk::new(1)), IDENTITY, 1).unwrap();
    publish(&events, 0..3);
    let mut ahead = events.subscribe(Some(99)).unwrap();
    let text = first_text(&mut ahead);
    assert!(
        text.contains("\"reset\"") && text.contains("unknown-id") && text.starts_with("id: 3\n"),
        "{text}"
    );
    publish(&events, 3..4);
    assert_eq!(take_ids(&mut ahead), [4]);
}

#[test]
fn who_asks_for_what_is_not_kept_is_told_to_start_anew() {
    let events = Events::open(Arc::new(SimulatedDisk::new(1)), IDENTITY, 1).unwrap();
    let kept = EVENTS_KEPT;
    publish(&events, 0..kept + 10);
    assert!(first_text(&mut events.subscribe(Some(9)).unwrap()).contains("too-old"));
    let mut oldest = events.subscribe(Some(10)).unwrap();
    assert_eq!(take_ids(&mut oldest), (11..=kept + 10).collect::<Vec<_>>());
}

#[test]
fn who_is_too_slow_is_sent_away_and_can_come_again() {
    let events = Events::open(Arc::new(SimulatedDisk::new(1)), IDENTITY, 1).unwrap();
    publish(&events, 0..1);
    let mut slow = events.subscribe(Some(0)).unwrap();
    assert_eq!(take_ids(&mut slow), [1]);
    publish(&events, 0..LAG_MAX + 1);
    let Some(Delivery::Last(text)) = slow.take() else { panic!("it is too slow") };
    assert!(String::from_utf8(text.to_vec()).unwrap().contains("Last-Event-ID: 1\n"));
    drop(slow);
    assert_eq!(take_ids(&mut events.subscribe(Some(1)).unwrap()).len() as u64, LAG_MAX + 1);
}

#[test]
fn there_are_only_so_many_listeners() {
    let events = Events::open(Arc::new(SimulatedDisk::new(1)), IDENTITY, 1).unwrap();
    let mut all: Vec<_> = (0..SUBSCRIBERS_MAX).map(|_| events.subscribe(None).unwrap()).collect();
    assert!(events.subscribe(None).is_none());
    all.pop();
    assert!(events.subscribe(None).is_some());
}

#[test]
fn after_a_clean_stop_ids_go_on_without_a_gap() {
    let disk = Arc::new(SimulatedDisk::new(1));
    let events = Events::open(Arc::clone(&disk) as Arc<dyn Disk>, IDENTITY, 1).unwrap();
    publish(&events, 0..3);
    events.close().unwrap();
    assert!(events.subscribe(None).is_none());
    drop(events);
    let events = Events::open(disk, IDENTITY, 1).unwrap();
    publish(&events, 3..4);
    assert_eq!(take_ids(&mut events.subscribe(Some(2)).unwrap()), [3, 4]);
}

#[test]
fn after_the_process_was_killed_all_that_was_delivered_is_there() {
    let disk = Arc::new(SimulatedDisk::new(1));
    let events = Events::open(Arc::clone(&disk) as Arc<dyn Disk>, IDENTITY, 1).unwrap();
    publish(&events, 0..3);
    drop(events);
    let events = Events::open(disk, IDENTITY, 1).unwrap();
    publish(&events, 3..4);
    assert_eq!(take_ids(&mut events.subscribe(Some(1)).unwrap()), [2, 3, 1 + ID_STEP]);
}

#[test]
fn after_a_power_cut_no_id_comes_again() {
    let disk = SimulatedDisk::new(1);
    let events = Events::open(Arc::new(disk.clone()), IDENTITY, 1).unwrap();
    publish(&events, 0..ID_STEP + 3);
    for seed in 0..20 {
        let events = Events::open(Arc::new(disk.survivors(seed)), IDENTITY, 1).unwrap();
        publish(&events, 0..1);
        assert!(events.newest() > ID_STEP + 3, "seed {seed}: {}", events.newest());
        let mut lost = events.subscribe(Some(ID_STEP + 3)).unwrap();
        let text = first_text(&mut lost);
        let resumed = text.starts_with(&format!("id: {}\n", events.newest()));
        assert!(resumed || text.contains("reset"), "seed {seed}: {text}");
    }
}

#[test]
fn without_room_events_are_delivered_and_written_down_later() {
    let disk = SimulatedDisk::new(1);
    let events = Events::open(Arc::new(disk.clone()), IDENTITY, 1).unwrap();
    publish(&events, 0..2);
    disk.set_capacity(0);
    publish(&events, 2..2002);
    assert_eq!(take_ids(&mut events.subscribe(Some(1)).unwrap()).len(), 2001);
    disk.set_capacity(u64::MAX);
    publish(&events, 2002..2003);
    drop(events);
    let events = Events::open(Arc::new(disk.after_kill()), IDENTITY, 1).unwrap();
    assert_eq!(take_ids(&mut events.subscribe(Some(1)).unwrap()).len(), 2002);
}

#[test]
fn the_log_gives_back_room_and_keeps_its_ids() {
    let disk = SimulatedDisk::new(1);
    let events = Events::open(Arc::new(disk.clone()), IDENTITY, 1).unwrap();
    for round in 0..40 {
        publish(&events, round * 5_000..(round + 1) * 5_000);
    }
    let bytes = events.lock().log.bytes();
    assert!(bytes < 4 * u64::from(SEGMENT_BYTES), "{bytes}");
    drop(events);
    let events = Events::open(Arc::new(disk.after_kill()), IDENTITY, 1).unwrap();
    publish(&events, 0..1);
    assert!(events.newest() > 200_000);
    assert_eq!(take_ids(&mut events.subscribe(Some(190_000)).unwrap()).len(), 10_001);
}

#[test]
fn after_a_loss_ids_go_on_higher_and_whoever_comes_back_is_told_to_start_anew() {
    let disk = SimulatedDisk::new(1);
    let events = Events::open(Arc::new(disk.clone()), IDENTITY, 5_000_000).unwrap();
    let mut back = events.subscribe(Some(17)).unwrap();
    let reset = first_text(&mut back);
    assert!(reset.contains("\"reason\":\"too-old\",\"next\":5000000"), "{reset}");
    publish(&events, 1..3);
    assert_eq!(take_ids(&mut back), [5_000_000, 5_000_001]);
    drop((back, events));
    // The jump is durable, also before there was an event.
    let events = Events::open(Arc::new(disk.after_kill()), IDENTITY, 1).unwrap();
    publish(&events, 3..4);
    assert!(events.newest() > 5_000_001);
    let early = SimulatedDisk::new(2);
    drop(Events::open(Arc::new(early.clone()), IDENTITY, 5_000_000).unwrap());
    let events = Events::open(Arc::new(early.after_kill()), IDENTITY, 1).unwrap();
    publish(&events, 1..2);
    assert!(events.newest() >= 5_000_000);
}

#[test]
fn no_id_comes_again_however_much_was_told_on_a_full_disk() {
    let disk = SimulatedDisk::new(1);
    let events = Events::open(Arc::new(disk.clone()), IDENTITY, 1).unwrap();
    publish(&events, 0..2);
    disk.set_capacity(0);
    for round in 0..3 {
        publish(&events, round * ID_STEP..(round + 1) * ID_STEP);
    }
    let told = events.newest();
    assert_eq!(told, ID_STEP, "no id is given that is not reserved");
    let disk = disk.after_kill();
    disk.set_capacity(u64::MAX);
    let again = Events::open(Arc::new(disk), IDENTITY, 1).unwrap();
    publish(&again, 0..1);
    assert!(again.newest() > told, "{} was told before", again.newest());
    assert!(first_text(&mut again.subscribe(Some(told)).unwrap()).contains("reset"));
}

#[test]
fn whoever_listened_while_events_were_left_out_starts_anew() {
    let disk = SimulatedDisk::new(1);
    let events = Events::open(Arc::new(disk.clone()), IDENTITY, 1).unwrap();
    disk.set_capacity(0);
    publish(&events, 0..ID_STEP + 5);
    let told = events.newest();
    let mut listener = events.subscribe(Some(told)).unwrap();
    assert_eq!(listener.take(), None, "what was left out is not told");
    disk.set_capacity(u64::MAX);
    publish(&events, 5..7);
    assert!(matches!(listener.take(), Some(Delivery::Last(_))));
    let check = |events: &Arc<Events>| {
        let mut back = events.subscribe(Some(told)).unwrap();
        let reset = first_text(&mut back);
        assert!(reset.contains("\"reason\":\"too-old\""), "{reset}");
        assert_eq!(take_ids(&mut events.subscribe(Some(told + 1)).unwrap()), [told + 2, told + 3]);
    };
    check(&events);
    drop((listener, events));
    // It is remembered, also where the process was killed.
    let events = Events::open(Arc::new(disk.after_kill()), IDENTITY, 1).unwrap();
    check(&events);
}

#[test]
fn a_clean_stop_does_not_hide_that_events_were_left_out() {
    let disk = SimulatedDisk::new(1);
    let events = Events::open(Arc::new(disk.clone()), IDENTITY, 1).unwrap();
    disk.set_capacity(0);
    publish(&events, 0..ID_STEP + 5);
    let told = events.newest();
    assert!(events.close().is_err());
    disk.set_capacity(u64::MAX);
    events.close().unwrap();
    let events = Events::open(Arc::new(disk.after_kill()), IDENTITY, 1).unwrap();
    publish(&events, 0..1);
    assert!(first_text(&mut events.subscribe(Some(told)).unwrap()).contains("too-old"));
}

/// News of a block with so many transactions.
fn block(count: usize) -> Vec<News> {
    let ids = (0..count).map(|number| Hash([u8::try_from(number % 251).unwrap(); 32])).collect();
    vec![News::One(event(1)), News::Confirmed(Confirmed { height: 1, block: Hash::default(), ids })]
}

#[test]
fn each_transaction_of_a_block_is_an_event_also_after_a_restart() {
    let disk = SimulatedDisk::new(1);
    let events = Events::open(Arc::new(disk.clone()), IDENTITY, 1).unwrap();
    events.publish(block(5_000)).unwrap();
    publish(&events, 0..1);
    let check = |events: &Arc<Events>| {
        for after in [0, 1, 2, 4_096, 4_097, 4_098, 5_001, 5_002] {
            let ids = take_ids(&mut events.subscribe(Some(after)).unwrap());
            assert_eq!(ids, (after + 1..=5_002).collect::<Vec<_>>(), "behind {after}");
        }
    };
    check(&events);
    let mut third = events.subscribe(Some(3)).unwrap();
    let text = first_text(&mut third);
    let hash = "02".repeat(32);
    let expected = format!(
        "id: 4\nevent: transaction\ndata: {{\"type\":\"transaction\",\"id\":\"{hash}\",\"status\":\"confirmed\",\"height\":1,\"block\":\"{}\"}}\n\n",
        "00".repeat(32)
    );
    assert!(text.starts_with(&expected), "{}", &text[..400]);
    drop((third, events));
    let disk = disk.after_kill();
    let events = Events::open(Arc::new(disk.clone()), IDENTITY, 1).unwrap();
    check(&events);
    // Without room they are told, and written down later.
    disk.set_capacity(0);
    events.publish(block(20)).unwrap();
    let told = events.newest();
    disk.set_capacity(u64::MAX);
    events.publish(block(1)).unwrap();
    drop(events);
    let events = Events::open(Arc::new(disk.after_kill()), IDENTITY, 1).unwrap();
    assert_eq!(take_ids(&mut events.subscribe(Some(told - 10)).unwrap()).len(), 12);
}
