use std::sync::Mutex;

use super::*;
use crate::NewWorkflow;
use crate::agent::Agent;
use crate::logged::Logged;

/// Appends its name to the header `path`, and says when it begins and ends.
struct Named(&'static str, Arc<Mutex<Vec<String>>>);

impl Named {
    fn say(&self, what: &str) {
        self.1.lock().unwrap().push(format!("{} {what}", self.0));
    }
}

impl Interceptor for Named {
    fn submit<'a>(&'a self, task: NewTask, next: SubmitNext<'a>) -> BoxFuture<'a, Result<Submitted>> {
        Box::pin(async move {
            self.say("begins");
            let before = task.spec().headers.get("path").cloned().unwrap_or_default();
            let submitted = next.run(task.header("path", before + self.0)).await;
            self.say("ends");
            submitted
        })
    }
}

/// Lets tasks of the type `work` pass, answers those of the type `known` itself, and refuses others.
struct Gate;

impl Interceptor for Gate {
    fn submit<'a>(&'a self, task: NewTask, next: SubmitNext<'a>) -> BoxFuture<'a, Result<Submitted>> {
        match task.spec().r#type.as_str() {
            "work" => next.run(task),
            "known" => Box::pin(async { Ok(Submitted::Created(receipt("known"))) }),
            _ => Box::pin(async { Err(Error::invalid("type", "not here")) }),
        }
    }
}

fn receipt(id: &str) -> Receipt {
    Receipt { task_id: id.into(), ..Default::default() }
}

fn created(task: &NewTask) -> Receipt {
    receipt(&task.spec().headers.get("path").cloned().unwrap_or_default())
}

fn interceptors(list: Vec<Arc<dyn Interceptor>>) -> (Interceptors, Arc<Mutex<Vec<String>>>) {
    let said = Arc::<Mutex<Vec<String>>>::default();
    let named = ["a", "b"].map(|name| Arc::new(Named(name, said.clone())) as Arc<dyn Interceptor>);
    (Interceptors(named.into_iter().chain(list).collect()), said)
}

#[tokio::test]
async fn the_first_is_the_outermost() {
    let (interceptors, said) = interceptors(Vec::new());
    let call = |task: NewTask| async move { Ok(Submitted::Created(created(&task))) };
    let submitted = interceptors.submit(NewTask::new("work"), call).await.unwrap();
    assert_eq!(submitted.task_id(), "ab");
    assert_eq!(*said.lock().unwrap(), ["a begins", "b begins", "b ends", "a ends"]);
}

/// Refused by an interceptor: nothing is sent, so that no server is missed.
#[tokio::test]
async fn the_child_of_a_claimed_task_is_submitted_too() {
    let client = Client::builder().address("http://127.0.0.1:1").interceptor(Gate).build().unwrap();
    let child = |name: &str| {
        let task = Some(v1::TaskSpec { r#type: name.into(), ..Default::default() });
        client.create_child(v1::CreateChildRequest { task, ..Default::default() })
    };
    assert_eq!(child("known").await.unwrap().task_id, "known");
    assert_eq!(child("other").await.unwrap_err().violations()[0].field, "type");
}

#[tokio::test]
async fn each_task_of_a_batch_is_submitted_and_the_batch_is_one_call() {
    let (interceptors, said) = interceptors(vec![Arc::new(Gate)]);
    let call = |tasks: Vec<NewTask>| async move {
        assert_eq!(tasks.len(), 2, "one was answered before");
        Ok(tasks.iter().map(created).collect())
    };
    let tasks = vec![NewTask::new("work"), NewTask::new("known"), NewTask::new("work").header("path", "x")];
    let receipts = interceptors.submit_all(tasks, call).await.unwrap();
    let ids: Vec<&str> = receipts.iter().map(|receipt| receipt.task_id.as_str()).collect();
    assert_eq!(ids, ["ab", "known", "xab"]);
    assert_eq!(said.lock().unwrap().iter().filter(|line| line.ends_with("ends")).count(), 6);
}

#[tokio::test]
async fn an_error_of_an_interceptor_is_the_calls_and_nothing_is_sent() {
    let (interceptors, _) = interceptors(vec![Arc::new(Gate)]);
    let call = |_| async { panic!("nothing is sent") };
    let refused = interceptors.submit_all(vec![NewTask::new("work"), NewTask::new("other")], call).await;
    assert_eq!(refused.unwrap_err().to_string(), "not here");
    let refused = interceptors.submit(NewTask::new("other"), |_| async { panic!("nothing is sent") }).await;
    assert_eq!(refused.unwrap_err().to_string(), "not here");
}

#[tokio::test]
async fn an_error_of_the_call_is_told_to_each() {
    let (interceptors, said) = interceptors(Vec::new());
    let call = |_| async { Err(Error::stopped()) };
    let refused = interceptors.submit_all(vec![NewTask::new("work"), NewTask::new("work")], call).await;
    assert!(matches!(refused.unwrap_err(), Error::Unavailable(_)));
    assert!(said.lock().unwrap().len() >= 4);
    let none = interceptors.submit_all(Vec::new(), |_| async { panic!("there is nothing to call for") }).await;
    assert_eq!(none.unwrap(), []);
}

/// Gives up waiting for what it began, and answers itself.
struct Impatient;

impl Interceptor for Impatient {
    fn submit<'a>(&'a self, task: NewTask, next: SubmitNext<'a>) -> BoxFuture<'a, Result<Submitted>> {
        let hurry = task.spec().r#type == "hurry";
        let submitted = next.run(task);
        Box::pin(async move {
            if !hurry {
                tokio::task::yield_now().await;
                return submitted.await;
            }
            let mut submitted = submitted;
            assert!(futures::poll!(submitted.as_mut()).is_pending());
            Ok(Submitted::Created(receipt("mine")))
        })
    }
}

#[tokio::test]
async fn one_that_came_through_and_was_given_up_has_no_part_in_the_call() {
    let (interceptors, _) = interceptors(vec![Arc::new(Impatient)]);
    let call = |tasks: Vec<NewTask>| async move { Ok(tasks.iter().map(created).collect()) };
    let tasks = vec![NewTask::new("hurry"), NewTask::new("work")];
    let receipts = interceptors.submit_all(tasks, call).await.unwrap();
    assert_eq!((receipts[0].task_id.as_str(), receipts[1].task_id.as_str()), ("mine", "ab"));
}

#[test]
fn a_client_and_an_agent_say_nothing_of_what_is_in_them() {
    let client = Client::builder().address("http://127.0.0.1:1").interceptor(Logging::new()).build().unwrap();
    assert!(format!("{client:?}").contains("Interceptors(1)"));
    assert!(!format!("{:?}", Agent::builder("t").interceptor(Logging::new())).contains("Logging"));
}

fn secret_attempt() -> Context {
    let secret = "secret".to_owned();
    let spec = v1::TaskSpec {
        r#type: "work".into(),
        input: Some(crate::to_payload(&secret).unwrap()),
        headers: [("authorization".to_owned(), secret)].into(),
        ..Default::default()
    };
    let attempt = v1::Attempt { task_id: "t1".into(), attempt: 2, ..Default::default() };
    Context::for_tests(v1::Assignment { attempt: Some(attempt), spec: Some(spec), ..Default::default() })
}

#[tokio::test]
async fn attempts_are_logged_and_nothing_of_what_is_in_them() {
    let logged = Logged::begin();
    let mut interceptors = Interceptors::default();
    interceptors.push(Arc::new(Logging::new()));
    let context = secret_attempt();
    let giving: Handler = Arc::new(|_, input| Box::pin(async move { Ok(input) }));
    let failing: Handler = Arc::new(|_, _| Box::pin(async { Err(TaskError::new("secret").of_type("Away")) }));
    let panicking: Handler = Arc::new(|_, _| Box::pin(async { panic!("secret") }));
    let endless: Handler = Arc::new(|_, _| Box::pin(std::future::pending()));
    interceptors.handle(&context, &giving).await.unwrap();
    interceptors.handle(&context, &failing).await.unwrap_err();
    assert_eq!(interceptors.handle(&context, &panicking).await.unwrap_err().failure().r#type, "panic");
    let mut dropped = interceptors.handle(&context, &endless);
    assert!(futures::poll!(dropped.as_mut()).is_pending());
    drop(dropped);
    let lines = logged.lines();
    let lines: Vec<&str> = lines.iter().map(|line| line.split(" ms=").next().unwrap()).collect();
    let begins = "INFO attempt begins task=\"t1\" type=\"work\" attempt=2".to_owned();
    let ended = |how: &str| format!("INFO attempt ended task=\"t1\" type=\"work\" attempt=2 ended=\"{how}\"");
    let expected =
        ["completed", "failed Away", "failed panic", "dropped"].iter().flat_map(|how| [begins.clone(), ended(how)]);
    assert_eq!(lines, expected.collect::<Vec<_>>());
}

/// What may be spawned on any runtime.
#[test]
fn calls_can_go_to_other_threads() {
    fn sent<T: Send>(_: T) {}
    let client = Client::builder().address("http://127.0.0.1:1").interceptor(Logging::new()).build().unwrap();
    let context = secret_attempt();
    sent(client.create(NewTask::new("t")));
    sent(client.create_all([NewTask::new("t")]));
    sent(client.create_workflow(NewWorkflow::new("w")));
    sent(client.wait_workflow("w", None));
    sent(client.run::<String>(NewTask::new("t")));
    sent(context.start_child(NewTask::new("t")));
    sent(context.run_child::<String>(NewTask::new("t")));
    sent(context.output("text"));
}
