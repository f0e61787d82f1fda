//! Courses, event by event.

use super::*;

const NONE: Orders = Orders {
    cancelled: false,
    gives_up: false,
};
const CANCELLED: Orders = Orders {
    cancelled: true,
    ..NONE
};
const GIVES_UP: Orders = Orders {
    gives_up: true,
    ..NONE
};

/// A course that runs.
fn runs() -> Course {
    let mut course = Course::new(1, 2);
    assert_eq!(course.begin(NONE), Action::Run);
    course
}

/// A course whose result `status` is to be stored.
fn stores(status: JobStatus) -> Course {
    let mut course = runs();
    let action = course.on(Event::Ended(End::With(status)), NONE);
    assert_eq!(action, Action::Store(Verdict::OfRun));
    course
}

/// Hunts a job that is done twice, or after it was given up.
#[test]
fn a_job_that_was_delivered_before_is_looked_for() {
    for (look, action) in [
        (Look::Nothing, Action::Run),
        (Look::Unknown, Action::Run),
        (
            Look::Found(JobStatus::Cancelled),
            Action::Finish(JobStatus::Cancelled),
        ),
        (Look::Found(JobStatus::Failed), Action::StoreDead),
    ] {
        let mut course = Course::new(2, 2);
        assert_eq!(course.begin(NONE), Action::Look);
        assert_eq!(course.on(Event::Looked(look), NONE), action);
    }
    let mut course = Course::new(3, 2);
    assert_eq!(course.begin(NONE), Action::Look);
    let action = course.on(Event::Looked(Look::Nothing), GIVES_UP);
    assert_eq!(action, Action::Count);
    let action = course.on(Event::Counted(Some(0)), GIVES_UP);
    assert_eq!(action, Action::Store(Verdict::GivenUp));
}

/// Hunts a job that is given up as its workers were stopped, and one that is not as nobody knows.
#[test]
fn deliveries_to_workers_that_stopped_do_not_count() {
    let counts = |counted| {
        let mut course = Course::new(5, 2);
        let _ = course.begin(NONE);
        let action = course.on(Event::Looked(Look::Nothing), NONE);
        assert_eq!(action, Action::Count);
        course.on(Event::Counted(counted), NONE)
    };
    assert_eq!(counts(Some(2)), Action::Store(Verdict::GivenUp));
    assert_eq!(counts(Some(3)), Action::Run);
    assert!(matches!(counts(None), Action::Again(_)));
}

/// Hunts a cancel or an end of the worker that comes before the run, and is not heard.
#[test]
fn what_is_not_wanted_is_not_begun() {
    let store = Action::Store(Verdict::Cancelled);
    assert_eq!(Course::new(1, 2).begin(CANCELLED), store);
    assert_eq!(Course::new(1, 2).begin(GIVES_UP), Action::GiveBack(None));
}

/// Hunts a run that goes on though the job is over.
#[test]
fn a_result_that_appears_ends_the_run() {
    let mut course = runs();
    assert_eq!(course.on(Event::Tick, NONE), Action::Extend);
    for look in [Look::Nothing, Look::Unknown] {
        assert_eq!(course.on(Event::Looked(look), NONE), Action::Wait);
    }
    let found = Event::Looked(Look::Found(JobStatus::Ok));
    assert_eq!(course.on(found, NONE), Action::EndRun);
    assert_eq!(course.on(Event::Tick, NONE), Action::Wait);
    // Its own end comes too late.
    let ended = Event::Ended(End::With(JobStatus::Failed));
    assert_eq!(course.on(ended, NONE), Action::Finish(JobStatus::Ok));
}

/// Hunts a cancel that is taken for the end of the worker, and the other way round.
#[test]
fn who_ended_a_run_decides_what_comes_of_it() {
    let no_room = Action::GiveBack(Some(NO_ROOM));
    let cancelled = Action::Store(Verdict::Cancelled);
    for (end, orders, action) in [
        (End::Cancelled, NONE, Action::GiveBack(None)),
        (End::Cancelled, GIVES_UP, Action::GiveBack(None)),
        (End::Cancelled, CANCELLED, cancelled),
        (End::Closed, NONE, Action::GiveBack(None)),
        (End::Closed, CANCELLED, cancelled),
        (End::Full, NONE, no_room),
        (End::Full, CANCELLED, cancelled),
        // It was done before it was cancelled.
        (
            End::With(JobStatus::Ok),
            CANCELLED,
            Action::Store(Verdict::OfRun),
        ),
    ] {
        assert_eq!(runs().on(Event::Ended(end), orders), action, "{end:?}");
    }
}

/// Hunts a job that is given up as there was no room for it.
#[test]
fn the_last_worker_keeps_a_job_that_finds_no_room() {
    let full = Event::Ended(End::Full);
    let mut course = Course::new(2, 2);
    let _ = course.begin(NONE);
    let _ = course.on(Event::Looked(Look::Nothing), NONE);
    assert_eq!(course.on(full, NONE), Action::Again(NO_ROOM));
    assert_eq!(course.on(Event::Waited, NONE), Action::Run);
    assert_eq!(course.on(full, GIVES_UP), Action::GiveBack(Some(NO_ROOM)));
}

/// Hunts a dead letter beside a result that is none of a failure, and a failure without one.
#[test]
fn a_dead_letter_follows_what_is_stored() {
    let (new, there) = (Event::Stored(Stored::New), Event::Stored(Stored::There));
    let done = Action::Finish(JobStatus::Failed);
    let mut course = stores(JobStatus::Failed);
    assert_eq!(course.on(new, NONE), Action::StoreDead);
    assert_eq!(course.on(there, NONE), done);

    // Another was first, and it succeeded.
    let mut course = stores(JobStatus::Failed);
    assert_eq!(course.on(there, NONE), Action::Look);
    let found = Event::Looked(Look::Found(JobStatus::Ok));
    assert_eq!(course.on(found, NONE), Action::Finish(JobStatus::Ok));

    // Another was first, failed, and may have died before its letter.
    let mut course = stores(JobStatus::Ok);
    assert_eq!(course.on(there, NONE), Action::Look);
    let found = Event::Looked(Look::Found(JobStatus::Failed));
    assert_eq!(course.on(found, NONE), Action::StoreDead);
    assert_eq!(course.on(new, NONE), done);
}

/// Hunts a job that is acknowledged without a result, and one that is never tried again.
#[test]
fn storing_is_tried_until_it_works() {
    let (failed, there) = (Event::Stored(Stored::Failed), Event::Stored(Stored::There));
    let mut course = stores(JobStatus::Ok);
    for wait in [100, 200, 400, 800, 1600, 3200, 5000, 5000] {
        let again = Action::Again(Duration::from_millis(wait));
        assert_eq!(course.on(failed, NONE), again);
        let action = course.on(Event::Waited, NONE);
        assert_eq!(action, Action::Store(Verdict::OfRun));
    }
    // One is said to be there, and then it is not.
    assert_eq!(course.on(there, NONE), Action::Look);
    let action = course.on(Event::Looked(Look::Unknown), NONE);
    assert!(matches!(action, Action::Again(_)));
    assert_eq!(course.on(Event::Waited, NONE), Action::Look);
    let action = course.on(Event::Looked(Look::Nothing), NONE);
    assert!(matches!(action, Action::Again(_)));
    let action = course.on(Event::Waited, NONE);
    assert_eq!(action, Action::Store(Verdict::OfRun));
    assert_eq!(course.on(failed, GIVES_UP), Action::GiveBack(None));
}

/// Hunts a job that no worker can read and that leaves no trace.
#[test]
fn what_nobody_reads_has_a_result_and_a_letter() {
    let mut course = Course::unread();
    let new = Event::Stored(Stored::New);
    assert_eq!(course.begin(NONE), Action::Store(Verdict::Unread));
    assert_eq!(course.on(new, NONE), Action::StoreDead);
    assert_eq!(course.on(new, NONE), Action::Finish(JobStatus::Failed));
}
