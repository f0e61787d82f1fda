//! The apps of a server, and how one of them is exchanged while it answers.

use super::stamp::{Stamp, read_settled};
use crate::admin::{self, Load, SwapError};
use crate::config::plan::{AppPlan, WorkPlan};
use crate::failure::Failure;
use crate::sync::locked;
use crate::{ended, load, remote};
use hart_host::work::{Queue, Remote};
use hart_host::{
    BuildError, Component, Host, LogPrefix, Route, Routes, RunBuilder, Service, Tenant,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long making an instance may take where the app has no time limit.
const TRIAL: Duration = Duration::from_secs(30);

/// What holds for all apps.
#[derive(Clone, Copy)]
pub(super) struct Settings {
    pub(super) allow_precompiled: bool,
    /// Whether what is compiled is cached.
    pub(super) is_kept: bool,
    pub(super) body_timeout: Duration,
    pub(super) quiet_errors: bool,
    pub(super) log_prefix: LogPrefix,
    /// Nothing is served: they are only looked at.
    pub(super) is_check: bool,
}

/// All apps. They change one after the other, and requests go on meanwhile.
pub(super) struct Apps {
    host: Host,
    settings: Settings,
    /// What the file says of the queue for tasks that may run anywhere.
    work: WorkPlan,
    /// That queue, once an app has needed it.
    queue: Mutex<Option<Queue>>,
    routes: Arc<Routes>,
    apps: Mutex<Vec<App>>,
    /// Held by whoever changes them.
    changing: Mutex<()>,
}

#[derive(Clone)]
struct App {
    plan: AppPlan,
    tenant: Tenant,
    service: Service,
    /// Where its tasks go that may run anywhere.
    remote: Option<Remote>,
    /// Of the file that the service is of.
    stamp: Option<Stamp>,
}

/// What became of a change.
#[derive(Default)]
pub(super) struct Changed {
    /// Apps that are new, or of a new version, or gone.
    pub(super) names: Vec<String>,
    /// Why others are as they were.
    pub(super) failures: Vec<(AppPlan, Failure)>,
}

impl Apps {
    /// Without any app yet: [`change`](Self::change) brings them.
    pub(super) fn new(host: Host, settings: Settings, work: WorkPlan) -> Self {
        Self {
            host,
            settings,
            work,
            queue: Mutex::default(),
            routes: Arc::new(Routes::new(Vec::new())),
            apps: Mutex::default(),
            changing: Mutex::default(),
        }
    }

    /// Where requests go, now and later.
    pub(super) fn routes(&self) -> Arc<Routes> {
        self.routes.clone()
    }

    /// As they are now.
    pub(super) fn plans(&self) -> Vec<AppPlan> {
        let apps = locked(&self.apps);
        apps.iter().map(|app| app.plan.clone()).collect()
    }

    /// Has the apps be `plans`: those that have changed, in the plan or in the component's file, are loaded beside the old
    /// ones and take their place. One that cannot be loaded stays as it was.
    pub(super) fn change(&self, plans: &[AppPlan]) -> Changed {
        let _one_at_a_time = locked(&self.changing);
        let old = locked(&self.apps).clone();
        let mut changed = Changed::default();
        let mut new = Vec::new();
        for plan in plans {
            let before = old.iter().find(|app| app.plan.name == plan.name);
            if let Some(app) = before
                && app.plan.is_like(plan)
                && app.stamp == Stamp::of(&plan.component)
            {
                new.push(app.clone());
                continue;
            }
            match self.make(plan, before, None) {
                Ok(app) => {
                    changed.names.push(plan.name.clone());
                    new.push(app);
                }
                Err(failure) => {
                    changed.failures.push((plan.clone(), failure));
                    new.extend(before.cloned());
                }
            }
        }
        let is_gone = |app: &&App| new.iter().all(|other| other.plan.name != app.plan.name);
        let gone = old.iter().filter(is_gone);
        changed.names.extend(gone.map(|app| app.plan.name.clone()));
        self.set(new);
        changed
    }

    fn set(&self, apps: Vec<App>) {
        let route = |app: &App| Route {
            host: app.plan.host.clone(),
            prefix: app.plan.path.clone(),
            service: app.service.clone(),
        };
        self.routes.set(apps.iter().map(route).collect());
        // The old ones are dropped outside of the lock: services hold instances.
        let _old = std::mem::replace(&mut *locked(&self.apps), apps);
    }

    /// The app of `plan`, in place of the one `before`.
    fn make(
        &self,
        plan: &AppPlan,
        before: Option<&App>,
        component: Option<&[u8]>,
    ) -> Result<App, Failure> {
        let tenant = match before {
            // What it has used goes on counting.
            Some(app) => app.tenant.clone(),
            None => self.tenant(plan)?,
        };
        let allow_precompiled = self.settings.allow_precompiled;
        let read;
        let (bytes, stamp) = match component {
            Some(bytes) => (bytes, Stamp::of(&plan.component)),
            None => {
                read = read_settled(&plan.component, || {
                    load::read_file(&plan.component, allow_precompiled)
                })?;
                (&*read.0, read.1)
            }
        };
        let how = load::How {
            allow_precompiled,
            is_kept: self.settings.is_kept,
            background: !locked(&self.apps).is_empty(),
            tier: plan.tier,
        };
        let component = load::load(&self.host, &plan.component, bytes, how)?;
        plan.grants
            .check(&component)
            .map_err(|failure| failure.at(&plan.component))?;
        let remote = self.remote(plan, &component)?;
        let service = self
            .service(plan, &component, &tenant, before, remote.as_ref())
            .map_err(|failure| failure.at(&plan.component))?;
        self.try_out(plan, &component, &tenant)
            .map_err(|failure| failure.at(&plan.component))?;
        if before.is_some_and(|app| app.plan.weight != plan.weight) {
            let weight = plan.weight.unwrap_or(Tenant::DEFAULT_WEIGHT);
            tenant
                .set_weight(weight)
                .map_err(|error| of_app(plan, &error))?;
        }
        Ok(App {
            plan: plan.clone(),
            tenant,
            service,
            remote,
            stamp,
        })
    }

    /// Where an app's tasks go that may run anywhere.
    fn remote(&self, plan: &AppPlan, component: &Component) -> Result<Option<Remote>, Failure> {
        let Some(to) = plan.grants.remote() else {
            return Ok(None);
        };
        if self.settings.is_check || !component.has_entry() {
            return Ok(None);
        }
        let mut queue = locked(&self.queue);
        let queue = match &mut *queue {
            Some(queue) => queue,
            none => none.insert(remote::queue(&self.host, to, self.work.clone())?),
        };
        let app = to.app.as_deref().unwrap_or(&plan.name);
        remote::workers(&self.host, queue, app).map(Some)
    }

    /// Waits until what was to be said to other machines is said.
    pub(super) async fn settle(&self) {
        let apps = locked(&self.apps).clone();
        remote::settle(apps.into_iter().filter_map(|app| app.remote)).await;
    }

    fn tenant(&self, plan: &AppPlan) -> Result<Tenant, Failure> {
        let mut builder = self.host.tenant().name(&plan.name);
        if let Some(weight) = plan.weight {
            builder = builder.weight(weight);
        }
        builder.build().map_err(|error| of_app(plan, &error))
    }

    fn service(
        &self,
        plan: &AppPlan,
        component: &Component,
        tenant: &Tenant,
        before: Option<&App>,
        remote: Option<&Remote>,
    ) -> Result<Service, Failure> {
        let mut builder = self
            .host
            .service(component)
            .name(&plan.name)
            .run(|run| {
                let run = granted(run, plan, tenant);
                match remote {
                    Some(remote) => run.anywhere(remote),
                    None => run,
                }
            })
            .body_timeout(self.settings.body_timeout)
            .quiet_errors(self.settings.quiet_errors)
            .log_prefix(self.settings.log_prefix);
        if let Some(app) = before {
            builder = builder.succeeds(&app.service);
        }
        if let Some(requests) = plan.concurrency {
            builder = builder.concurrency(requests);
        }
        if let Some(requests) = plan.queue {
            builder = builder.queue(requests);
        }
        if let Some(timeout) = plan.queue_timeout {
            builder = builder.queue_timeout(timeout);
        }
        if let Some(bytes) = plan.body_limit {
            builder = builder.body_limit(bytes);
        }
        if let Some(requests) = plan.reuse {
            builder = builder.reuse(requests);
        }
        if let Some(timeout) = plan.idle_timeout {
            builder = builder.idle_timeout(timeout);
        }
        builder.build().map_err(|error| ended::explain(&error))
    }

    /// Makes an instance: what traps in its start functions, or needs more than it may have, answers nobody.
    fn try_out(
        &self,
        plan: &AppPlan,
        component: &Component,
        tenant: &Tenant,
    ) -> Result<(), Failure> {
        let run = self
            .host
            .drive(component, |_, _| Box::pin(async { Ok(Vec::new()) }));
        let mut limits = plan.limits;
        limits.timeout = limits.timeout.or(Some(TRIAL));
        let run = granted(run, plan, tenant).limits(limits);
        let ended = run.start().and_then(hart_host::Run::wait);
        ended.map(drop).map_err(|error| ended::explain(&error))
    }
}

impl admin::Apps for Apps {
    fn load(&self) -> Vec<Load> {
        let load = |app: &App| {
            let (running, waiting) = app.service.load();
            Load {
                name: app.plan.name.clone(),
                running,
                waiting,
            }
        };
        locked(&self.apps).iter().map(load).collect()
    }

    fn swap(&self, name: &str, component: Option<&[u8]>) -> Result<(), SwapError> {
        let _one_at_a_time = locked(&self.changing);
        let mut apps = locked(&self.apps).clone();
        let Some(place) = apps.iter().position(|app| app.plan.name == name) else {
            let names = apps.into_iter().map(|app| app.plan.name);
            return Err(SwapError::NoApp(names.collect()));
        };
        let old = &apps[place];
        let app = self.make(&old.plan, Some(old), component);
        apps[place] = app.map_err(SwapError::Failed)?;
        self.set(apps);
        Ok(())
    }

    fn tenant(&self, name: &str) -> Option<Tenant> {
        let apps = locked(&self.apps);
        let app = apps.iter().find(|app| app.plan.name == name);
        app.map(|app| app.tenant.clone())
    }
}

fn of_app(plan: &AppPlan, error: &BuildError) -> Failure {
    Failure::usage(format!("the app `{}`: {error}", plan.name))
}

fn granted(run: RunBuilder, plan: &AppPlan, tenant: &Tenant) -> RunBuilder {
    plan.grants
        .clone()
        .grant(run)
        .limits(plan.limits)
        .tenant(tenant)
}
