//! A run that was checked and can be started: once, or again and again.

use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::base::span::{Followed, SpanOf, Tracer};
use crate::engine::cache;
use crate::engine::slots::{depth_for, slots_for};
use crate::host::backend::Backend;
use crate::host::handle::HostInner;
use crate::instance::admission::Refused;
use crate::instance::elsewhere::Reach;
use crate::instance::ended::Ended;
use crate::instance::ending::{finish, set_timer};
use crate::instance::error::RunError;
use crate::instance::events::Event;
use crate::instance::granted::{Grant, RunGrants};
use crate::instance::guest::{Guest, Traits, Tree};
use crate::instance::keyvalue::store::KeyValue;
use crate::instance::lifecycle::{Held, Programs, Work, admit, start};
use crate::instance::program::{Program, Reused};
use crate::instance::record::{RunRecord, State, info};
use crate::instance::registry::LiveRun;
use crate::instance::run_slots::RunSlots;
use crate::instance::store::Component;
use crate::metrics::figures::{HostFigures, RunFigures};
use crate::quota::account::tenant::TenantAccount;
use crate::quota::account::{Account, Need};
use crate::quota::kill::Kill;
use crate::quota::limits::{LimitKind, LimitReached, Limits};
use crate::quota::share::Share;
use crate::runtime::tenant::Tenant;
use crate::sched::clock::Clock;
use crate::sched::core::Core;
use crate::sched::task::control::{Control, TaskLimits};
use crate::sched::task::current::is_in_pool;
use crate::wasi::grants::{Grants, Recipe};
use crate::wasi::rights::Rights;

/// What a run is to have less than the embedder grants.
pub(crate) struct Less<'a> {
    /// Its limits are [narrowed](Limits::narrowed) to these.
    pub(crate) limits: &'a Limits,
    /// It lacks these.
    pub(crate) denied: Rights,
}

/// What a run may use, and whose it is.
pub(crate) struct Terms {
    pub(crate) capabilities: Vec<Arc<dyn Grant>>,
    pub(crate) limits: Limits,
    pub(crate) share: Share,
    pub(crate) tenant: Option<Tenant>,
    pub(crate) waits: Option<bool>,
    pub(crate) reach: Reach,
    /// What it does has budgets of CPU time of its own, so that is counted.
    pub(crate) has_budgets: bool,
}

/// A run without what it is to do.
pub(crate) struct Prepared<T: 'static> {
    host: Arc<HostInner<T>>,
    program: Programs<T>,
    recipe: Arc<Recipe>,
    capabilities: Vec<Arc<dyn Grant>>,
    limits: Limits,
    share: Share,
    tenant: Option<Arc<TenantAccount>>,
    waits: Option<bool>,
    reach: Reach,
    has_budgets: bool,
    depth: u32,
    /// Where it is counted what its runs use, if it is.
    figures: Option<Arc<RunFigures>>,
}

impl<T: Send + 'static> Prepared<T> {
    pub(crate) fn new(
        host: Arc<HostInner<T>>,
        component: Component<T>,
        grants: Grants,
        terms: Terms,
        reused: Reused,
    ) -> Result<Self, RunError> {
        let refused = |why: &str| Err(RunError::Setup(why.into()));
        if !host.registry.takes_runs() {
            return Err(RunError::Closed);
        }
        let Some(site) = host.site_of(&component) else {
            return refused("the component was loaded by another host: load it with this one");
        };
        let has = |grant: &Arc<dyn Grant>| host.blueprint.capabilities.contains(&grant.key());
        if let Some(grant) = terms.capabilities.iter().find(|grant| !has(grant)) {
            let name = grant.name();
            return refused(&format!(
                "the host does not have {name}: add it with `HostBuilder::capability`"
            ));
        }
        let tenant = terms.tenant.as_ref();
        if tenant.is_some_and(|tenant| !Arc::ptr_eq(&tenant.runtime, &host.runtime)) {
            return refused("the tenant was made by another host: make it with this one");
        }
        let limits = terms.limits.or(&host.limits);
        let in_pool = site.admission.slots();
        let interface = component.interface();
        let slots = interface.slots();
        let depth = depth_for(
            in_pool,
            slots,
            interface.has_entry(),
            limits.depth_or_default(),
        );
        let Some(depth) = depth else {
            return Err(RunError::Setup(format!(
                "one instance of the component takes {slots} slots of the pool, which has {in_pool} and keeps a third of them for others: raise `HostBuilder::instances` to {} or more",
                slots_for(slots),
            )));
        };
        let recipe = Recipe::new(grants, &host.runtime, |directory| {
            let guarded = host.guarded.as_deref();
            guarded.filter(|code| cache::is_within(code, directory))
        })
        .map_err(RunError::Setup)?;
        let program = Arc::new(Program {
            component,
            child_data: host.child_data.clone(),
            warm: host.warm.clone(),
            reused,
        });
        Ok(Self {
            program,
            recipe: Arc::new(recipe),
            capabilities: terms.capabilities,
            limits,
            share: terms.share,
            tenant: terms.tenant.map(|tenant| tenant.account),
            waits: terms.waits,
            reach: terms.reach,
            has_budgets: terms.has_budgets,
            depth,
            figures: host.figures.as_ref().map(|figures| figures.runs.clone()),
            host,
        })
    }

    /// Its runs are those of an app, whose figures these are.
    pub(crate) fn count_for(&mut self, figures: Arc<RunFigures>) {
        self.figures = Some(figures);
    }

    /// Where the figures of apps are, if there are any.
    pub(crate) fn host_figures(&self) -> Option<&HostFigures> {
        self.host.figures.as_deref()
    }

    /// What follows requests and tasks, if anything does.
    pub(crate) fn tracer(&self) -> Option<&Arc<dyn Tracer>> {
        self.host.tracer.as_ref()
    }

    /// The tenant that its runs belong to.
    pub(crate) fn tenant(&self) -> Option<&Arc<TenantAccount>> {
        self.tenant.as_ref()
    }

    /// `data`, or what the host makes for runs that are given none.
    pub(crate) fn data(&self, data: Option<T>) -> Result<T, RunError> {
        data.or_else(|| self.host.data.as_ref().map(|make| make())).ok_or_else(|| {
            RunError::Setup(
                "the run has no data: say it with `RunBuilder::data`, or for all runs with `HostBuilder::data`".into(),
            )
        })
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.host.runtime
    }

    /// In whose time it runs.
    pub(crate) fn clock(&self) -> &Arc<Clock> {
        &self.host.runtime.clock
    }

    /// Where its instances are.
    fn site(&self) -> Result<&Backend<T>, RunError> {
        self.host
            .site_of(&self.program.component)
            .ok_or(RunError::Closed)
    }

    /// Starts a run that does `work`; `held` is dropped when its root is gone. The root's span is below `above`, or the
    /// first one of all.
    pub(crate) fn launch(
        &self,
        name: String,
        work: Work<T>,
        data: T,
        held: Option<Held>,
        above: Option<&Followed>,
    ) -> Result<Arc<RunRecord>, RunError> {
        let less = Less {
            limits: &Limits::new(),
            denied: Rights::default(),
        };
        self.launch_within(&less, name, work, data, held, above)
    }

    /// The same with less than the embedder grants.
    pub(crate) fn launch_within(
        &self,
        less: &Less<'_>,
        name: String,
        work: Work<T>,
        data: T,
        held: Option<Held>,
        above: Option<&Followed>,
    ) -> Result<Arc<RunRecord>, RunError> {
        let host = &self.host;
        if !host.registry.takes_runs() {
            return Err(RunError::Closed);
        }
        let site = self.site()?;
        let interface = self.program.component.interface();
        let limits = self.limits.narrowed(less.limits);
        let refused = |reached: LimitReached| {
            if let Some(figures) = &self.figures {
                figures.reached(reached.limit);
            }
            RunError::Limit(reached)
        };
        let input = work.input_bytes();
        let most = limits.input_bytes_or_default();
        if input > most {
            return Err(refused(LimitReached::new(LimitKind::InputBytes, most)));
        }
        let account = Account::open(
            &host.runtime.executor,
            name.clone(),
            self.share,
            limits,
            self.tenant.clone(),
            &host.runtime.files,
        )
        .map_err(|error| RunError::Setup(error.to_string()))?;
        let id = host.runtime.next_id();
        let grants = RunGrants::prepare(&self.capabilities, &info(&account, id))?;
        let need = Need {
            tasks: 1,
            bytes: input,
            ..Need::default()
        };
        account.reserve(need).map_err(refused)?;
        account.holds_for_good(input);

        let mut own = TaskLimits::of(&limits);
        let bound = site.pool.bounds.table;
        own.table_elements = Some(own.table_elements.map_or(bound, |most| most.min(bound)));
        if self.has_budgets {
            own.cpu_time.get_or_insert(Duration::MAX);
        }
        let control = Control::new(host.runtime.clone(), account.clone(), own);
        control.took(input);
        let run_slots = RunSlots::new(
            id,
            interface.slots(),
            self.depth.min(limits.depth_or_default()),
            interface.initial_memory(),
            account.clone(),
        );
        let record = Arc::new(RunRecord {
            id,
            runtime: host.runtime.clone(),
            registry: host.registry.clone(),
            io: host.io.clone(),
            kind: site.pool.kind,
            keyvalue: KeyValue::new(&account),
            grants,
            reach: self.reach.clone(),
            hooks: host.hooks.clone(),
            account,
            interface: interface.clone(),
            recipe: self.recipe.clone(),
            shares_streams: self.program.reused != Reused::ByTasks,
            slots: Arc::new(run_slots),
            waits: self.waits.unwrap_or_else(|| !is_in_pool()),
            warm: host.warm.clone(),
            figures: self.figures.clone(),
            state: State::default(),
        });
        let task = host.runtime.next_id();
        let span_of = SpanOf::Task {
            run: id,
            run_name: &name,
            id: task,
            name: &name,
            depth: 0,
        };
        let span = match above {
            Some(above) => above.child(&span_of),
            None => Followed::first(host.tracer.as_ref(), &span_of),
        };
        let traits = Traits {
            id: task,
            span,
            name,
            depth: 0,
            denied: less.denied,
            reuse: self.program.reused != Reused::ByTasks,
            timeout: limits
                .timeout
                .map(|timeout| LimitReached::time(LimitKind::Timeout, timeout)),
            deadline: limits
                .timeout
                .and_then(|timeout| host.runtime.clock.now().checked_add(timeout)),
            parent: Weak::new(),
            caps: None,
            child_caps: None,
        };
        let tree = Tree::new(site.admission.clone());
        let root = Guest::new(record.clone(), tree, control, traits);
        record.set_root(root.clone());
        let live: Weak<dyn LiveRun> = Arc::downgrade(&(record.clone() as Arc<dyn LiveRun>));
        host.registry.run_starts(id, live);
        record.tell(Event::RunStarted);
        set_timer(&root);
        match admit(&root, start(&root, self.program.clone(), work, data, held)) {
            Ok(()) => {}
            // A host that is closed meanwhile: the run's outcome says so.
            Err(Refused::Closed) => finish(&root, Ended::Killed(Kill::Closed), None),
            Err(Refused::NoRoom) => {
                let reached = LimitReached::new(LimitKind::InnerInstances, site.admission.slots());
                finish(&root, Ended::Limit(reached), None);
                return Err(RunError::Limit(reached));
            }
        }
        Ok(record)
    }
}

impl<T: 'static> Drop for Prepared<T> {
    /// No run follows: what those before have left goes.
    fn drop(&mut self) {
        if let Reused::ByRuns { program, .. } = self.program.reused {
            self.program.warm.forget_program(program);
            self.recipe.leave_streams();
        }
    }
}
