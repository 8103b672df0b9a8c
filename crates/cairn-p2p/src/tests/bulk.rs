//! Requests with answers on streams of their own.

use super::support::*;
use crate::{
    AnswerStream, AskError, BULK_MAX, BulkEnd, BulkError, EndCode, Event, Events, Frame, RequestNumber,
};

async fn asked(events: &mut Events) -> (Frame, AnswerStream) {
    wait(events, |event| match event {
        Event::Asked { frame, answer, .. } => Some((frame, answer)),
        _ => None,
    })
    .await
}

async fn ended(events: &mut Events) -> (RequestNumber, Result<(), BulkError>) {
    wait(events, |event| match event {
        Event::AnswerEnded { request, result, .. } => Some((request, result)),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn an_answer_of_many_frames_arrives_whole() {
    let [(a, mut a_events, of_b), (_b, mut b_events, _)] = pair().await;
    let request = a.ask(of_b, Frame::new(GBL, vec![1, 2])).unwrap();
    let (question, answer) = asked(&mut b_events).await;
    assert_eq!(question, Frame::new(GBL, vec![1, 2]));
    let answering = tokio::spawn(async move {
        for number in 0..50u8 {
            answer.send(Frame::new(BLK, vec![number; 200_000])).await.unwrap();
        }
        answer.end(BulkEnd::new(EndCode::Complete, "")).await;
    });
    for number in 0..50 {
        let part = wait(&mut a_events, |event| match event {
            Event::Answer { request: of, frame, .. } => Some((of, frame)),
            _ => None,
        });
        assert_eq!(part.await, (request, Frame::new(BLK, vec![number; 200_000])));
    }
    assert_eq!(ended(&mut a_events).await, (request, Ok(())));
    soon(answering).await.unwrap();
}

#[tokio::test]
async fn four_requests_run_at_a_time() {
    let [(a, mut a_events, of_b), (_b, mut b_events, _)] = pair().await;
    let mut answers = Vec::new();
    for _ in 0..BULK_MAX {
        a.ask(of_b, Frame::new(GBL, vec![])).unwrap();
        answers.push(asked(&mut b_events).await.1);
    }
    assert_eq!(a.ask(of_b, Frame::new(GBL, vec![])), Err(AskError::Busy));
    for answer in answers {
        answer.end(BulkEnd::new(EndCode::Unavailable, "pruned")).await;
        let (_, result) = ended(&mut a_events).await;
        assert_eq!(result, Err(BulkError::Ended(BulkEnd::new(EndCode::Unavailable, "pruned"))));
    }
}

#[tokio::test]
async fn an_answer_that_is_dropped_has_failed() {
    let [(a, mut a_events, of_b), (_b, mut b_events, _)] = pair().await;
    a.ask(of_b, Frame::new(GBL, vec![])).unwrap();
    drop(asked(&mut b_events).await);
    let (_, result) = ended(&mut a_events).await;
    assert!(matches!(result, Err(BulkError::Ended(BulkEnd { code: EndCode::Failed, .. }))), "{result:?}");
}

#[tokio::test]
async fn a_request_can_be_cancelled_and_the_answer_stops() {
    let [(a, mut a_events, of_b), (_b, mut b_events, _)] = pair().await;
    let request = a.ask(of_b, Frame::new(GBL, vec![])).unwrap();
    let (_, answer) = asked(&mut b_events).await;
    a.cancel(of_b, request);
    assert_eq!(ended(&mut a_events).await, (request, Err(BulkError::Cancelled)));
    soon(async { while answer.send(Frame::new(BLK, vec![0; 1 << 20])).await.is_ok() {} }).await;
}

#[tokio::test]
async fn requests_end_before_their_link_does() {
    let [(a, mut a_events, of_b), (b, mut b_events, _)] = pair().await;
    a.ask(of_b, Frame::new(GBL, vec![])).unwrap();
    let (_, _answer) = asked(&mut b_events).await;
    soon(b.stop()).await;
    assert!(ended(&mut a_events).await.1.is_err());
    left(&mut a_events).await;
}

#[tokio::test]
async fn a_slow_owner_holds_the_answer_up_and_nothing_else() {
    let [(a, mut a_events, of_b), (b, mut b_events, of_a)] = pair().await;
    a.ask(of_b, Frame::new(GBL, vec![])).unwrap();
    let (_, answer) = asked(&mut b_events).await;
    let answering = tokio::spawn(async move {
        let mut sent = 0;
        while sent < 64 && answer.send(Frame::new(BLK, vec![0; 1 << 20])).await.is_ok() {
            sent += 1;
        }
        answer.end(BulkEnd::new(EndCode::Complete, "")).await;
    });
    // The first part is kept, and its credit with it: the second must not come.
    let held = wait(&mut a_events, |event| match event {
        Event::Answer { credit, .. } => Some(credit),
        _ => None,
    });
    let held = held.await;
    b.send(of_a, Frame::new(TXN, vec![1]), crate::Priority::Transaction).unwrap();
    let next = wait(&mut a_events, |event| match event {
        Event::Frame { frame, .. } => Some(frame.tag),
        Event::Answer { frame, .. } => Some(frame.tag),
        _ => None,
    });
    assert_eq!(next.await, TXN);
    assert!(!answering.is_finished());
    drop(held);
    assert_eq!(ended(&mut a_events).await.1, Ok(()));
}
