//! A world as a script: what it begins with and what happens in it, step by step. Made from a seed alone, and small
//! enough to be cut down by leaving steps out.

use mailtide::imap::server::{Capabilities, Capability};

use mailtide::refserver::faults::Quirk;
use mailtide::types::{Bodies, BodyPolicy, Keep};

use super::disk::Power;
use super::network::{Break, Trap, Way};
use super::random::Random;

/// Everything that is decided before a world begins.
#[derive(Debug, Clone)]
pub struct Script {
    pub seed: u64,
    pub setup: Setup,
    pub steps: Vec<Step>,
}

#[derive(Debug, Clone)]
pub struct Setup {
    /// Accounts that the agent mirrors.
    pub accounts: usize,
    /// Mail programs at the agent, and at the server itself.
    pub here: usize,
    pub there: usize,
    pub capabilities: Capabilities,
    /// What is wrong with the server.
    pub quirks: Vec<Quirk>,
    /// The store is checked after every commit, not only after every step.
    pub checks_each_commit: bool,
    /// Messages that are there when the agent is set up.
    pub mail: u32,
    /// How many messages the server takes from one sender in an hour; more are refused for now.
    pub posts_per_hour: Option<u32>,
    /// The longest that the server takes over what it is to write, also if the line is gone meanwhile. Then the agent that died
    /// is back in a moment.
    pub slow_ms: u64,
    /// Every message has the same Message-ID.
    pub same_ids: bool,
    /// Which bodies the agent mirrors.
    pub bodies: BodyPolicy,
    /// How many connections to the server an account may have.
    pub connections: usize,
    /// The account's mail is taken from a maildrop.
    pub maildrop: Option<Keep>,
    /// The agent may die over the opening of its store and over the removal of bytes as well.
    pub has_all_moments: bool,
    /// Some of the mail that comes in is long.
    pub has_long_mail: bool,
    /// The provider whose server it is, as `refserver --profile` takes it.
    pub provider: Option<&'static str>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Time that passes first.
    pub after_ms: u64,
    pub act: Act,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Someone does something with a mail program.
    Mail {
        who: usize,
        doing: Doing,
    },
    /// Mail arrives for an account.
    Deliver {
        account: usize,
    },
    /// A mail program at the agent sends a message, to an account that is mirrored or to someone else.
    Submit {
        who: usize,
        to: Option<usize>,
    },
    LineDown {
        how: Break,
    },
    LineUp,
    Trap(Trap),
    Crash {
        power: Power,
    },
    /// The agent dies at a moment of its disk that is still to come.
    Doom {
        moments: u32,
        power: Power,
    },
    RestartServer {
        pause_ms: u64,
    },
    DiskFull,
    DiskFree,
    /// The server's mailbox gets another UIDVALIDITY and other UIDs.
    Renumber {
        account: usize,
        pick: usize,
        /// Its messages come in another order.
        shuffles: bool,
    },
    /// The server is backed up, and is later what it was then.
    BackUp,
    Restore,
    /// The configuration leaves out a folder, or none.
    Mirror {
        account: usize,
        exclude: Option<&'static str>,
    },
    /// The account is taken out of the configuration, or back into it.
    Configure {
        account: usize,
        is_in: bool,
    },
    /// The configuration asks for other bodies.
    Bodies {
        account: usize,
        bodies: Bodies,
    },
    /// Someone at the agent waits for a body that is not there.
    Bring {
        account: usize,
        pick: usize,
    },
    /// The next times that the agent opens its store it dies over it, each time at a moment of its own.
    DoomOpenings {
        deaths: Vec<(u32, Power)>,
    },
    /// What nobody needs any more is swept; `is_late`: what went a moment ago as well.
    Sweep {
        is_late: bool,
    },
    ClockJump {
        ms: i64,
    },
    /// While the line is down, someone at the agent and someone at the server act on the same mail in INBOX.
    Clash {
        here: usize,
        there: usize,
        ours: Doing,
        theirs: Doing,
    },
    /// What the account may hold at the server is used up, or not any more.
    Quota {
        account: usize,
        is_full: bool,
    },
    /// The user asks for a sync.
    Sync,
    SetPaused {
        account: usize,
        paused: bool,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doing {
    Open {
        folder: usize,
    },
    Look,
    Idle,
    Flag {
        pick: usize,
        flag: &'static str,
        set: bool,
        by_number: bool,
    },
    Move {
        pick: usize,
        to: usize,
    },
    Copy {
        pick: usize,
        to: usize,
    },
    Delete {
        pick: usize,
        plain_expunge: bool,
    },
    Append {
        to: usize,
    },
    /// A draft is stored anew and the old one deleted.
    Redraft {
        pick: usize,
    },
    CreateFolder {
        name: &'static str,
    },
    RenameFolder {
        folder: usize,
        name: &'static str,
    },
    DeleteFolder {
        folder: usize,
    },
}

/// Worlds of seeds below this are as they were before it: `seeds.txt` and `mutants.txt` name them.
pub const SECOND_EDITION: u64 = 2000;

/// As [`SECOND_EDITION`].
pub const THIRD_EDITION: u64 = 10_000;

/// As [`SECOND_EDITION`].
pub const FOURTH_EDITION: u64 = 20_000;

/// As [`SECOND_EDITION`].
pub const FIFTH_EDITION: u64 = 60_000;

/// As [`SECOND_EDITION`].
pub const SIXTH_EDITION: u64 = 400_000;

/// As [`SECOND_EDITION`].
pub const SEVENTH_EDITION: u64 = 500_000;

/// As [`SECOND_EDITION`].
pub const EIGHTH_EDITION: u64 = 600_000;

const FLAGS: [&str; 7] = ["\\Seen", "\\Seen", "\\Flagged", "\\Answered", "work", "$Label1", "\\Deleted"];
const FOLDERS: [&str; 6] = ["Work", "Home", "Work/Old", "Lists", "Gr&APw-n", "Archive/2026"];

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

impl Script {
    /// The world of that seed.
    pub fn of(seed: u64) -> Self {
        let mut random = Random::stream(seed, "script");
        let setup = setup(&mut random);
        let mut maker = Maker { random, setup: &setup, is_up: true, is_full: false, faults: 0 };
        maker.faults = *maker.random.pick(&[0, 10, 25, 50]);
        let count = maker.random.between(3, 28);
        let steps = (0..count).map(|_| maker.step()).collect();
        let mut script = Self { seed, setup, steps };
        script.add_what_came_later(&mut Random::stream(seed, "later"));
        if seed >= SECOND_EDITION {
            script.add_what_came_last(&mut Random::stream(seed, "last"));
        }
        if seed >= THIRD_EDITION {
            script.add_mirrors(&mut Random::stream(seed, "mirrors"));
        }
        if seed >= FOURTH_EDITION {
            script.add_accounts_and_ids(&mut Random::stream(seed, "fourth"));
        }
        if seed >= FIFTH_EDITION {
            script.add_servers(&mut Random::stream(seed, "fifth"));
        }
        if seed >= SIXTH_EDITION {
            script.add_openings(&mut Random::stream(seed, "sixth"));
        }
        if seed >= SEVENTH_EDITION {
            script.add_headers(&mut Random::stream(seed, "seventh"));
        }
        if seed >= EIGHTH_EDITION {
            script.add_slow_server(&mut Random::stream(seed, "eighth"));
        }
        script
    }

    /// What scripts did not have from the beginning comes from a stream of its own: half of the worlds are as they were.
    fn add_what_came_later(&mut self, random: &mut Random) {
        if random.percent(50) {
            return;
        }
        if random.percent(20) {
            self.setup.posts_per_hour = Some(1);
        }
        for _ in 0..random.below(4) {
            let after_ms = random.below(20 * SECOND);
            let at = random.index(self.steps.len() + 1);
            if random.percent(80) {
                let act = clash(random);
                self.steps.insert(at, Step { after_ms, act });
                continue;
            }
            let account = random.index(self.setup.accounts);
            self.steps.insert(at, Step { after_ms, act: Act::Quota { account, is_full: true } });
            if random.percent(70) {
                let later = at + 1 + random.index(self.steps.len() - at);
                self.steps.insert(later, Step { after_ms, act: Act::Quota { account, is_full: false } });
            }
        }
    }

    /// What only worlds from [`SECOND_EDITION`] on have, and four in ten of them have not.
    fn add_what_came_last(&mut self, random: &mut Random) {
        // Inflating costs more than all that depends on it is worth in each world.
        if random.percent(75) {
            self.setup.capabilities = self.setup.capabilities.without(Capability::CompressDeflate);
        }
        if random.percent(40) {
            return;
        }
        self.setup.checks_each_commit |= random.percent(10);
        self.setup.same_ids = random.percent(25);
        if random.percent(40) {
            self.add_restored_server(random);
        } else if random.percent(30) {
            self.setup.accounts = 2;
            self.add(random, |random| Act::Submit { who: random.index(3), to: Some(random.index(2)) });
        }
        let more: &[fn(&mut Self, &mut Random)] =
            &[Self::add_shuffled, Self::add_marked, Self::add_narrowed, Self::add_weeks];
        for add in more {
            if random.percent(25) {
                add(self, random);
            }
        }
    }

    /// What only worlds from [`THIRD_EDITION`] on have: more connections or fewer, in a third of them mirrors without all
    /// bodies, and weeks that pass in fewer of them: a month of polls costs as much as a hundred worlds.
    fn add_mirrors(&mut self, random: &mut Random) {
        if random.percent(85) {
            self.steps.iter_mut().filter(|step| step.after_ms > DAY).for_each(|step| step.after_ms %= 2 * HOUR);
        }
        self.setup.connections = 1 + random.index(4);
        if random.percent(65) {
            return;
        }
        // What is recoverable of a restored server is what was whole at the agent.
        self.steps.retain(|step| !matches!(step.act, Act::BackUp | Act::Restore));
        self.leave_bodies_out(random);
    }

    /// Not all bodies are mirrored; some are asked for, and now and then the configuration changes.
    fn leave_bodies_out(&mut self, random: &mut Random) {
        self.setup.bodies = BodyPolicy {
            default: bodies(random),
            per_folder: Vec::new(),
            budget_bytes: random.percent(20).then(|| random.below(2000)),
            metered: random.percent(15),
        };
        self.setup.mail += 2;
        let accounts = self.setup.accounts;
        self.add(random, |random| Act::Bring { account: random.index(accounts), pick: random.index(1000) });
        self.add(random, |random| Act::Bring { account: random.index(accounts), pick: random.index(1000) });
        if random.percent(40) {
            self.add(random, |random| Act::Bodies { account: random.index(accounts), bodies: bodies(random) });
        }
    }

    /// What only worlds from [`FOURTH_EDITION`] on have: accounts that leave the configuration and come back, and messages
    /// that nothing but their bytes tells apart where they are numbered anew. Less often, what costs much: a look at the
    /// store after each commit.
    fn add_accounts_and_ids(&mut self, random: &mut Random) {
        self.setup.checks_each_commit &= random.percent(40);
        if random.percent(15) {
            self.add_removed_account(random);
        }
        if random.percent(5) {
            self.add_same_ids(random);
        }
    }

    /// What only worlds from [`FIFTH_EDITION`] on have: an account with a maildrop, a provider's server.
    fn add_servers(&mut self, random: &mut Random) {
        if random.percent(12) {
            self.take_from_a_maildrop(random);
        } else if random.percent(25) {
            self.move_to_a_provider(random);
        }
    }

    /// What only worlds from [`SIXTH_EDITION`] on have: death while the store is opened, and while room is given back.
    fn add_openings(&mut self, random: &mut Random) {
        self.setup.has_all_moments = true;
        if random.percent(60) {
            self.add_doomed_openings(random);
        }
        if random.percent(30) {
            self.add_removals(random);
        }
    }

    /// What only worlds from [`SEVENTH_EDITION`] on have: of a maildrop's messages, in most of those that have one, the headers
    /// alone, as of a mirror's since [`THIRD_EDITION`].
    fn add_headers(&mut self, random: &mut Random) {
        if self.setup.maildrop.is_some() && random.percent(70) {
            self.leave_bodies_out(random);
        }
    }

    /// What only worlds from [`EIGHTH_EDITION`] on have, a fifth of them: a server that does a while later what it read, though
    /// who sent it is dead and back already.
    fn add_slow_server(&mut self, random: &mut Random) {
        if !random.percent(20) {
            return;
        }
        self.setup.slow_ms = random.between(100, 1200);
        let here = self.setup.here;
        for _ in 0..random.between(2, 5) {
            let (at, pick, to) = (random.index(self.steps.len() + 1), random.index(1000), random.index(1000));
            let who = random.index(here);
            let doing = match random.below(3) {
                0 => Doing::Append { to },
                1 => Doing::Copy { pick, to },
                _ => Doing::Move { pick, to },
            };
            let act = Step { after_ms: random.below(5 * SECOND), act: Act::Mail { who, doing } };
            // A moment later it is sent, and most of the time not answered yet.
            let after_ms = random.between(40, 40 + self.setup.slow_ms);
            let death = Step { after_ms, act: Act::Crash { power: Power::Stays } };
            self.steps.splice(at..at, [act, death]);
        }
    }

    /// The agent dies, and then again, some times in a row, each time over the opening of its store; as people go on before,
    /// so that something is not synced yet.
    fn add_doomed_openings(&mut self, random: &mut Random) {
        for _ in 0..random.between(1, 3) {
            let at = random.index(self.steps.len() + 1);
            let deaths = (0..random.between(1, 4)).map(|_| (moments(random, 6), power(random))).collect();
            let death = match random.percent(50) {
                true => Act::Crash { power: power(random) },
                false => Act::Doom { moments: moments(random, 40), power: power(random) },
            };
            let acts =
                [Act::DoomOpenings { deaths }, Act::Deliver { account: random.index(self.setup.accounts) }, death];
            let steps = acts.map(|act| Step { after_ms: random.below(5 * SECOND), act });
            self.steps.splice(at..at, steps);
        }
    }

    /// Long messages come and are deleted, and the agent dies as it gives back their room.
    fn add_removals(&mut self, random: &mut Random) {
        self.setup.has_long_mail = true;
        self.setup.mail += 3;
        for _ in 0..random.between(1, 3) {
            let at = random.index(self.steps.len() + 1);
            let who = random.index(self.setup.here);
            let delete = |pick| Act::Mail { who, doing: Doing::Delete { pick, plain_expunge: false } };
            let mut acts = vec![Act::Mail { who, doing: Doing::Open { folder: 0 } }];
            acts.extend((0..random.between(1, 4)).map(|_| delete(random.index(1000))));
            acts.push(Act::Doom { moments: moments(random, 25), power: power(random) });
            let mut steps: Vec<Step> =
                acts.into_iter().map(|act| Step { after_ms: random.below(20 * SECOND), act }).collect();
            steps.push(Step { after_ms: 0, act: Act::Sweep { is_late: true } });
            self.steps.splice(at..at, steps);
        }
    }

    /// The account comes back some steps later, or in the end.
    fn add_removed_account(&mut self, random: &mut Random) {
        let account = random.index(self.setup.accounts);
        let at = random.index(self.steps.len() + 1);
        let later = at + random.index((self.steps.len() + 1 - at).min(8));
        let mut step = |is_in| Step { after_ms: random.below(5 * MINUTE), act: Act::Configure { account, is_in } };
        self.steps.insert(later, step(true));
        self.steps.insert(at, step(false));
    }

    /// Someone flags, numbers INBOX anew and deletes, where all messages have one Message-ID and the server tells no other.
    fn add_same_ids(&mut self, random: &mut Random) {
        self.setup.same_ids = true;
        self.setup.capabilities = self.setup.capabilities.without(Capability::ObjectId);
        self.setup.mail += 3;
        let account = random.index(self.setup.accounts);
        let (who, pick) = (random.index(self.setup.here), random.index(1000));
        let by = |doing| Act::Mail { who, doing };
        let acts = [
            by(Doing::Open { folder: 0 }),
            by(Doing::Flag { pick: pick + 1, flag: "\\Flagged", set: true, by_number: false }),
            Act::Renumber { account, pick: 0, shuffles: true },
            by(Doing::Delete { pick, plain_expunge: false }),
        ];
        let at = random.index(self.steps.len() + 1);
        let steps = acts.map(|act| Step { after_ms: random.below(30 * SECOND), act });
        self.steps.splice(at..at, steps);
    }

    /// Puts some of an act into the script.
    fn add(&mut self, random: &mut Random, make: impl Fn(&mut Random) -> Act) {
        for _ in 0..random.between(1, 3) {
            let (after_ms, act) = (random.below(20 * SECOND), make(random));
            let at = random.index(self.steps.len() + 1);
            self.steps.insert(at, Step { after_ms, act });
        }
    }

    /// Servers whose UIDNEXT or UIDVALIDITY say nothing cannot be restored without harm.
    fn add_restored_server(&mut self, random: &mut Random) {
        let is_telling = |quirk: &Quirk| {
            use Quirk::{EmptyStatus, NoUidNext, UidValidityBump, UidValidityOne};
            !matches!(quirk, EmptyStatus | NoUidNext | UidValidityBump | UidValidityOne)
        };
        self.setup.quirks.retain(is_telling);
        let at = random.index(self.steps.len() + 1);
        let later = at + random.index(self.steps.len() + 1 - at);
        let mut news = vec![Step { after_ms: random.below(20 * SECOND), act: Act::Restore }];
        for _ in 0..random.below(3) {
            let act = Act::Deliver { account: random.index(self.setup.accounts) };
            news.push(Step { after_ms: random.below(400), act });
        }
        if random.percent(50) {
            // The agent sees it only once some of what was undone has been replaced.
            news.insert(0, Step { after_ms: 0, act: Act::LineDown { how: Break::Cut } });
            news.push(Step { after_ms: random.below(MINUTE), act: Act::LineUp });
        }
        self.steps.splice(later..later, news);
        self.steps.insert(at, Step { after_ms: random.below(20 * SECOND), act: Act::BackUp });
        self.setup.mail += 3;
    }

    /// A mailbox gets another UIDVALIDITY and its messages another order.
    fn add_shuffled(&mut self, random: &mut Random) {
        let accounts = self.setup.accounts;
        self.add(random, |random| Act::Renumber {
            account: random.index(accounts),
            pick: if random.percent(60) { 0 } else { random.index(1000) },
            shuffles: true,
        });
    }

    /// One program at a server marks a message as deleted and leaves it there, while someone at the agent deletes the one
    /// beside it, or moves it away.
    fn add_marked(&mut self, random: &mut Random) {
        if random.percent(60) {
            self.setup.capabilities = self.setup.capabilities.without(Capability::UidPlus);
        }
        if random.percent(50) {
            self.setup.capabilities = self.setup.capabilities.without(Capability::Move);
        }
        self.setup.mail += 2;
        self.add(random, |random| {
            let pick = random.index(1000);
            let ours = match random.percent(50) {
                true => Doing::Delete { pick, plain_expunge: false },
                false => Doing::Move { pick, to: random.index(1000) },
            };
            let theirs = Doing::Flag { pick: pick + 1, flag: "\\Deleted", set: true, by_number: false };
            Act::Clash { here: random.index(3), there: random.index(3), ours, theirs }
        });
    }

    /// The configuration changes while the agent runs.
    fn add_narrowed(&mut self, random: &mut Random) {
        let accounts = self.setup.accounts;
        self.add(random, |random| {
            let names = [FOLDERS[0], FOLDERS[1], FOLDERS[3], "Archive", "Sent", "Drafts", "Trash"];
            let exclude = random.percent(65).then(|| *random.pick(&names));
            Act::Mirror { account: random.index(accounts), exclude }
        });
    }

    /// Weeks without a line, and then a sweep.
    fn add_weeks(&mut self, random: &mut Random) {
        let at = random.index(self.steps.len() + 1);
        let weeks = [
            Step { after_ms: 0, act: Act::LineDown { how: Break::Cut } },
            Step { after_ms: random.between(5, 50) * DAY, act: Act::LineUp },
            Step { after_ms: random.below(MINUTE), act: Act::Sweep { is_late: false } },
        ];
        let later = (at + random.index(6)).min(self.steps.len());
        self.steps.splice(later..later, weeks[1..].to_vec());
        self.steps.insert(at, weeks[0].clone());
    }

    /// The same world with only those steps.
    pub fn with_steps(&self, steps: Vec<Step>) -> Self {
        Self { steps, ..self.clone() }
    }
}

fn setup(random: &mut Random) -> Setup {
    Setup {
        accounts: if random.percent(15) { 2 } else { 1 },
        here: random.index(3) + 1,
        there: random.index(3) + 1,
        capabilities: without_shows(capabilities(random)),
        quirks: quirks(random),
        checks_each_commit: random.percent(5),
        mail: u32::try_from(random.below(6)).expect("a small number"),
        posts_per_hour: None,
        slow_ms: 0,
        same_ids: false,
        bodies: BodyPolicy::ALL,
        connections: 2,
        maildrop: None,
        has_all_moments: false,
        has_long_mail: false,
        provider: None,
    }
}

impl Setup {
    /// Are there bodies that the agent does not mirror?
    pub fn is_partial(&self) -> bool {
        self.bodies != BodyPolicy::ALL
    }
}

fn power(random: &mut Random) -> Power {
    *random.pick(&[Power::Stays, Power::CutLosing, Power::CutTearing])
}

/// From the first of those that come to the one at that place.
fn moments(random: &mut Random, most: u64) -> u32 {
    u32::try_from(random.between(1, most)).expect("a small number")
}

fn bodies(random: &mut Random) -> Bodies {
    match random.below(8) {
        0 => Bodies::All,
        1 => Bodies::RecentDays(u32::try_from(random.below(3)).expect("a small number")),
        2 | 3 => Bodies::MaxSize(random.between(200, 600)),
        _ => Bodies::Headers,
    }
}

/// Two people, and what each does with a message, or with the one beside it.
fn clash(random: &mut Random) -> Act {
    let pick = random.index(1000);
    let mut touch = |pick: usize| {
        let (to, set) = (random.index(1000), random.percent(65));
        match random.below(8) {
            0..4 => {
                let flag = *random.pick(&FLAGS);
                Doing::Flag { pick, flag, set, by_number: false }
            }
            4 | 5 => Doing::Move { pick, to },
            6 => Doing::Copy { pick, to },
            _ => Doing::Delete { pick, plain_expunge: !set },
        }
    };
    let (ours, same, beside) = (touch(pick), touch(pick), touch(pick + 1));
    let theirs = if random.percent(70) { same } else { beside };
    Act::Clash { here: random.index(3), there: random.index(3), ours, theirs }
}

/// Most servers are sound; the others have one or two quirks.
fn quirks(random: &mut Random) -> Vec<Quirk> {
    let count = *random.weighted(&[(55, 0), (30, 1), (15, 2)]);
    let mut quirks: Vec<Quirk> = (0..count).map(|_| *random.pick(Quirk::ALL)).collect();
    // A session that always ends before the third try never gives what it refuses twice.
    if quirks.contains(&Quirk::UnavailableOnce) {
        quirks.retain(|quirk| *quirk != Quirk::RateLimit);
    }
    quirks
}

fn capabilities(random: &mut Random) -> Capabilities {
    let mut capabilities = Capabilities::all();
    if random.percent(45) {
        return capabilities;
    }
    // With or without these the agent does the same: that they are drawn would only make other worlds of the seeds.
    let unused = [Capability::Acl, Capability::Rights, Capability::ListMyRights];
    for capability in Capability::all().filter(|capability| !unused.contains(capability)) {
        let percent = match capability {
            Capability::UidPlus | Capability::Move | Capability::CondStore | Capability::QResync => 40,
            _ => 15,
        };
        if random.percent(percent) {
            capabilities = capabilities.without(capability);
        }
    }
    capabilities
}

/// What a server offers in every world: nothing that is only asked to be shown, which would make other worlds of all seeds.
fn without_shows(capabilities: Capabilities) -> Capabilities {
    [Capability::Quota, Capability::ListMyRights].into_iter().fold(capabilities, Capabilities::without)
}

struct Maker<'a> {
    random: Random,
    setup: &'a Setup,
    is_up: bool,
    is_full: bool,
    /// Of a hundred steps so many are faults.
    faults: u64,
}

impl Maker<'_> {
    fn step(&mut self) -> Step {
        let span = *self.random.weighted(&[
            (450, 50),
            (250, 3 * SECOND),
            (120, MINUTE),
            (100, 20 * MINUTE),
            (30, 3 * HOUR),
            (4, DAY),
            (1, 14 * DAY),
        ]);
        let after_ms = self.random.below(span + 1);
        let act = match self.random.percent(self.faults) {
            true => self.fault(),
            false => self.everyday(),
        };
        Step { after_ms, act }
    }

    fn everyday(&mut self) -> Act {
        let account = self.random.index(self.setup.accounts);
        match self.random.below(20) {
            0..2 => Act::Deliver { account },
            2 => Act::Submit { who: self.random.index(self.setup.here), to: None },
            3 if !self.is_up => {
                self.is_up = true;
                Act::LineUp
            }
            _ => {
                let who = self.random.index(self.setup.here + self.setup.there);
                Act::Mail { who, doing: self.doing() }
            }
        }
    }

    fn doing(&mut self) -> Doing {
        let (pick, folder) = (self.random.index(1000), self.random.index(1000));
        match self.random.below(32) {
            0..4 => Doing::Open { folder },
            4 | 5 => Doing::Look,
            6 => Doing::Idle,
            7..13 => {
                let flag = *self.random.pick(&FLAGS);
                Doing::Flag { pick, flag, set: self.random.percent(65), by_number: self.random.percent(30) }
            }
            13..18 => Doing::Move { pick, to: folder },
            18..20 => Doing::Copy { pick, to: folder },
            20..23 => Doing::Delete { pick, plain_expunge: self.random.percent(40) },
            23..26 => Doing::Append { to: folder },
            26 => Doing::Redraft { pick },
            27..29 => Doing::CreateFolder { name: FOLDERS[folder % FOLDERS.len()] },
            29..31 => Doing::RenameFolder { folder, name: FOLDERS[pick % FOLDERS.len()] },
            _ => Doing::DeleteFolder { folder },
        }
    }

    fn fault(&mut self) -> Act {
        let power = *self.random.pick(&[Power::Stays, Power::CutLosing, Power::CutTearing]);
        match self.random.below(16) {
            0..6 => {
                let way = *self.random.pick(&[Way::ToServer, Way::ToAgent]);
                let span = *self.random.pick(&[40, 400, 2500]);
                let how = match self.random.below(10) {
                    0..7 => Break::Cut,
                    7 => Break::Silence,
                    _ => Break::Stall { ms: self.random.between(1, 300) * SECOND },
                };
                Act::Trap(Trap { way, after_bytes: self.random.below(span), how })
            }
            6..8 if self.is_up => {
                self.is_up = false;
                Act::LineDown { how: if self.random.percent(70) { Break::Cut } else { Break::Silence } }
            }
            6..8 => {
                self.is_up = true;
                Act::LineUp
            }
            8 => Act::Crash { power },
            9 | 10 => Act::Doom { moments: u32::try_from(self.random.between(1, 60)).expect("a small number"), power },
            11 => Act::RestartServer { pause_ms: self.random.below(3 * MINUTE) },
            12 if self.is_full => {
                self.is_full = false;
                Act::DiskFree
            }
            12 => {
                self.is_full = true;
                Act::DiskFull
            }
            13 => Act::Renumber {
                account: self.random.index(self.setup.accounts),
                pick: self.random.index(1000),
                shuffles: false,
            },
            14 => Act::Sync,
            _ => {
                let most = HOUR.cast_signed();
                let ms = self.random.between(0, 2 * HOUR).cast_signed() - most;
                match self.random.percent(50) {
                    true => Act::ClockJump { ms },
                    false => Act::SetPaused {
                        account: self.random.index(self.setup.accounts),
                        paused: self.random.percent(50),
                    },
                }
            }
        }
    }
}
