use super::*;

#[test]
fn it_takes_tasks_while_it_is_attached() {
    let mut agent = Script::new();
    assert_eq!(agent.session.readiness(), Readiness::Connecting);
    agent.actions();
    agent.frames();
    assert_eq!(agent.session.readiness(), Readiness::Connecting, "there is no welcome yet");
    agent.welcome(1, &[]);
    assert_eq!(agent.session.readiness(), Readiness::Attached);
    agent.breaks();
    assert_eq!(agent.session.readiness(), Readiness::Connecting);
}

#[test]
fn it_drains_whether_it_is_attached_or_not() {
    let mut agent = Script::attached();
    agent.running("t1/1");
    agent.session.drain(agent.now);
    assert_eq!(agent.session.readiness(), Readiness::Draining);
    agent.breaks();
    assert_eq!(agent.session.readiness(), Readiness::Draining);
    agent.after(seconds(31)).actions();
    assert_eq!(agent.session.readiness(), Readiness::Draining, "what it handed back has no receipt");
    agent.session.stop();
    assert_eq!(agent.session.readiness(), Readiness::Stopped);
}

#[test]
fn an_agent_that_can_not_go_on_is_stopped_while_its_handlers_clean_up() {
    let mut agent = Script::attached();
    agent.running("t1/1");
    agent.breaks_with(Code::Aborted, v1::ErrorReason::SessionSuperseded);
    assert_eq!(agent.session.readiness(), Readiness::Stopped);
}
