//! The course of the review: who is started when, which tasks are waited for, who is killed.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use callboard::v1::{ListTasksRequest, Task};
use callboard::{Client, EventStream, NewTask, Watch};
use futures::TryStreamExt;
use tokio::time::{Instant, sleep};

use super::Job;
use super::agents::{PLAN, PlanInput, PlanResult, REPORT, TAG};
use super::chaos::{self, Victim};
use super::crew::{Crew, Role};
use super::error::Error;
use super::language::Analyser;
use super::portable_path;
use super::progress::{Board, Display};
use super::report::{ReportResult, count};
use super::timeline::{self, Told};
use crate::ids;

/// How often the processes are looked after and the bars are drawn, when no event comes.
const TICK: Duration = Duration::from_millis(200);

/// How it went.
#[derive(Debug)]
pub struct Outcome {
    /// What the reviewer says of the report.
    pub report: ReportResult,
    /// Who did what.
    pub timeline: String,
    /// The kill and the takeover.
    pub story: Option<String>,
    /// Tasks in all.
    pub tasks: usize,
    /// Agents that had one.
    pub agents: usize,
}

/// What is watched and steered.
pub struct Stage<'a> {
    crew: &'a mut Crew,
    client: Client,
    events: EventStream,
    board: Board,
    display: Display,
}

/// A victim, and the task that it was killed with.
struct Killed {
    name: String,
    task: String,
    /// How long it had the task.
    lived: Duration,
}

impl<'a> Stage<'a> {
    /// With a crew that has a server and no agents yet.
    pub fn new(crew: &'a mut Crew, client: Client) -> Self {
        let events = client.watch(Watch::namespace());
        Self { crew, client, events, board: Board::default(), display: Display::new() }
    }

    /// From the first task to the report.
    pub async fn play(mut self, job: &Job) -> Result<Outcome, Error> {
        self.display.note(&format!("Reviewing {}", job.root.display()));
        let (plan_id, plan) = self.plan(job).await?;
        let killed = self.raise_crew(job, &plan).await?;
        let client = self.client.clone();
        let report: ReportResult = self.during(client.result(&plan.report, None)).await?;
        let tasks = self.histories(&plan_id, &plan).await?;
        outcome(report, &tasks, killed)
    }

    /// Lets the supervisor plan.
    async fn plan(&mut self, job: &Job) -> Result<(String, PlanResult), Error> {
        self.crew.start_agent(Role::Supervisor, Role::Supervisor.name(), None)?;
        let input = PlanInput { root: portable_path::encode(&job.root), out: portable_path::encode(&job.out) };
        let task = NewTask::new(PLAN).tag(TAG).description("list the tree, create the tasks").input(&input)?;
        let client = self.client.clone();
        let created = self.during(client.create(task)).await?;
        self.board.name(&created.task_id, PLAN);
        let plan: PlanResult = self.during(client.result(&created.task_id, None)).await?;
        for group in &plan.groups {
            self.board.name(&group.id, &group.task_type);
        }
        self.board.name(&plan.report, REPORT);
        self.catch_up().await?;
        self.display.note(&format!(
            "The supervisor made {} of {}",
            count(plan.groups.len() as u64, "group"),
            count(plan.files, "file")
        ));
        Ok((created.task_id, plan))
    }

    /// Events from before the watch began are made up for.
    async fn catch_up(&mut self) -> Result<(), Error> {
        let request = ListTasksRequest { tags: vec![TAG.to_owned()], page_size: 1_000, ..ListTasksRequest::default() };
        let client = self.client.clone();
        let tasks: Vec<Task> = self.during(client.list(request).try_collect()).await?;
        tasks.iter().for_each(|task| self.board.catch_up(task));
        Ok(())
    }

    /// Starts the agents that the plan needs. The victim is started before others of its kind, so that it surely has a
    /// task when it is killed, and someone is there to take it over.
    async fn raise_crew(&mut self, job: &Job, plan: &PlanResult) -> Result<Option<Killed>, Error> {
        let victim = job.chaos.then(|| Victim::choose(&plan.groups));
        let spared = victim.as_ref().map(|victim| victim.role);
        let needed = Analyser::ALL.into_iter().filter(|analyser| {
            let task_type = analyser.task_type();
            plan.groups.iter().any(|group| group.task_type == task_type)
        });
        let roles: Vec<Role> = needed.map(Role::of).chain([Role::Reviewer]).collect();
        if let Some(victim) = &victim {
            self.crew.start_agent(victim.role, &victim.name, Some(chaos::LINGER))?;
        }
        for role in roles.iter().filter(|role| Some(**role) != spared) {
            for number in 1..=hands(*role) {
                self.crew.start_agent(*role, &format!("{}-{number}", role.name()), None)?;
            }
        }
        match victim {
            Some(victim) => Ok(Some(self.sacrifice(victim, plan).await?)),
            None => Ok(None),
        }
    }

    /// Waits until the victim has a task, starts others of its kind, and kills the victim.
    async fn sacrifice(&mut self, victim: Victim, plan: &PlanResult) -> Result<Killed, Error> {
        if victim.role == Role::Reviewer {
            self.display.note("There is nothing to analyse: the reviewer is the one to be killed");
        }
        let task = self.task_of(&victim.name).await?;
        let began = Instant::now();
        for number in 2..=hands(victim.role) + 1 {
            self.crew.start_agent(victim.role, &format!("{}-{number}", victim.role.name()), None)?;
        }
        self.during(async {
            sleep(chaos::MERCY).await;
            Ok(())
        })
        .await?;
        self.crew.kill(&victim.name).await?;
        let lived = began.elapsed();
        let what =
            plan.groups.iter().find(|group| group.id == task).map_or("the report", |group| group.description.as_str());
        let note = format!("kill -9 {}, which had task {} ({what})", victim.name, ids::short(&task));
        self.display.note(&note);
        Ok(Killed { name: victim.name, task, lived })
    }

    async fn task_of(&mut self, agent: &str) -> Result<String, Error> {
        let deadline = Instant::now() + chaos::PATIENCE;
        loop {
            if let Some(task) = self.board.running(agent) {
                return Ok(task.to_owned());
            }
            if Instant::now() > deadline {
                return Err(Error::NoVictim(agent.to_owned(), chaos::PATIENCE.as_secs()));
            }
            self.step().await?;
        }
    }

    /// Follows the events while something else is waited for.
    async fn during<T>(&mut self, work: impl Future<Output = callboard::Result<T>>) -> Result<T, Error> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Ok(done?),
                stepped = self.step() => stepped?,
            }
        }
    }

    /// Takes one event, or a breath.
    async fn step(&mut self) -> Result<(), Error> {
        tokio::select! {
            event = self.events.next() => {
                if let Some(event) = event? {
                    self.board.apply(&event);
                }
            }
            () = sleep(TICK) => self.crew.check()?,
        }
        self.display.show(&self.board);
        Ok(())
    }

    async fn histories(&mut self, plan_id: &str, plan: &PlanResult) -> Result<Vec<Told>, Error> {
        let groups =
            plan.groups.iter().map(|group| (group.id.as_str(), group.task_type.as_str(), group.description.as_str()));
        let all = [(plan_id, PLAN, "the plan")].into_iter().chain(groups).chain([(
            plan.report.as_str(),
            REPORT,
            "the report",
        )]);
        let mut tasks = Vec::new();
        for (id, task_type, description) in all {
            tasks.push(Told {
                id: id.to_owned(),
                task_type: task_type.to_owned(),
                description: description.to_owned(),
                history: self.client.history(id).await?,
            });
        }
        Ok(tasks)
    }
}

/// How many agents of a kind there are. The shell agent is one with two slots.
fn hands(role: Role) -> usize {
    match role {
        Role::Rust | Role::Python => 2,
        Role::Supervisor | Role::Shell | Role::Reviewer => 1,
    }
}

fn outcome(report: ReportResult, tasks: &[Told], killed: Option<Killed>) -> Result<Outcome, Error> {
    let spans = tasks.iter().flat_map(|task| timeline::spans(&task.history));
    let agents: BTreeSet<String> = spans.map(|span| span.agent).collect();
    let timeline = timeline::draw(tasks, killed.as_ref().map(|killed| killed.name.as_str()));
    let story = killed.map(|killed| story(tasks, &killed)).transpose()?;
    Ok(Outcome { report, timeline, story, tasks: tasks.len(), agents: agents.len() })
}

fn story(tasks: &[Told], killed: &Killed) -> Result<String, Error> {
    let no_takeover = |what: String| Error::NoTakeover {
        task: ids::short(&killed.task).to_owned(),
        victim: killed.name.clone(),
        what,
    };
    let task =
        tasks.iter().find(|task| task.id == killed.task).ok_or_else(|| no_takeover("it is not known".to_owned()))?;
    let takeover = timeline::takeover(&task.history, &killed.name).map_err(no_takeover)?;
    Ok(chaos::story(task, &takeover, killed.lived))
}
