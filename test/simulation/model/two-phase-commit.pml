/*
 * A second opinion on the protocol, in Promela: one transaction with BRANCHES branches, its coordinator, two recoverers (or,
 * with OPERATOR, one and an operator who may force commit), a register, and messages that are lost or come late. Written
 * from ARCHITECTURE.md, not from the code.
 *
 *   scripts/simulation-model.sh           checks it, and checks that each guard is needed
 *
 * Each of these takes a guard away, and one property has to fail then:
 * NO_TOMBSTONE  recovery rolls back without having won the abort in the register
 * NO_FENCE      a branch counts as never prepared although its backend may still prepare it
 * NO_REGISTER   a lost decision is presumed aborted
 * NO_ROW        a coordinator that abandons its transaction rolls back without having won the abort
 * NO_OBEYING    it writes the abort, and rolls back also where a commit stands
 * NO_EPOCH      a coordinator whose epoch is retired still decides
 * NO_PROOF      an operator forces commit when some of the branches are prepared, not all
 */
#ifndef BRANCHES
#define BRANCHES 2
#endif
#ifndef CRASHES
#define CRASHES 2
#endif
#ifndef LOSSES
#define LOSSES 2
#endif

mtype = { working, prepared, committed, rolledBack };
mtype = { none, commit, abort };
mtype = { untold, toldCommitted, toldRolledBack, toldUnknown };

mtype branch[BRANCHES] = working;
/* A PREPARE that was sent and has not arrived. */
bool coming[BRANCHES];
/* The backend that would carry it out. */
bool backend[BRANCHES] = true;
mtype decision = none;
mtype told = untold;
byte crashes = 0;
byte losses = 0;
bool coordinatorAlive = true;
/* It has come to its end. */
bool finished = false;
/* Invariant 1: set by whoever ends a branch without the decision. */
bool effectBeforeDecision = false;
/* The epoch of the coordinator: it may decide no commit any more. */
bool retired = false;
/* Invariant 8: set when it does. */
bool decidedLate = false;

/* on conflict do nothing: who comes second has changed nothing. */
inline winAbort() {
  atomic { if :: decision == none -> decision = abort :: else -> skip fi }
}

/* The server: a message on its way arrives at any time, also when nobody waits for it any more. */
proctype Server(byte b) {
end:
  do
  :: atomic { coming[b] && backend[b] && branch[b] == working -> coming[b] = false; branch[b] = prepared }
  /* It refuses: a constraint, no free slot. */
  :: atomic { coming[b] && backend[b] && branch[b] == working -> coming[b] = false; branch[b] = rolledBack }
  :: atomic { coming[b] && !backend[b] -> coming[b] = false }
  od
}

inline finish(b, wanted) {
  atomic {
    if
    :: branch[b] == prepared ->
       if
       :: wanted == commit ->
          effectBeforeDecision = effectBeforeDecision || decision != commit;
          branch[b] = committed
       :: else -> branch[b] = rolledBack
       fi
    :: else -> skip
    fi
  }
}

/* A branch that has not voted: fenced, it can be prepared no more, and is rolled back. */
inline endUnvoted(b) {
#ifdef NO_FENCE
  skip;
#else
  atomic { backend[b] = false };
#endif
  atomic {
    if
    :: branch[b] == prepared -> branch[b] = rolledBack
    :: branch[b] == working && !backend[b] -> branch[b] = rolledBack
    :: else -> skip
    fi
  }
}

proctype Coordinator() provided (coordinatorAlive) {
  byte b = 0;
  bool allYes = true;
  bool commits = false;
  bool lost;
  do
  :: b < BRANCHES -> coming[b] = true; b++
  :: else -> break
  od;
  b = 0;
  do
  :: b < BRANCHES ->
     if
     :: branch[b] == prepared -> skip
     :: branch[b] == rolledBack -> allYes = false
     /* The reply is lost, or too late: the vote is unknown. */
     :: losses < LOSSES -> losses++; allYes = false
     fi;
     b++
  :: else -> break
  od;
  if
  :: allYes ->
     lost = false;
     atomic {
       if
#ifdef NO_EPOCH
       :: decision == none -> decidedLate = retired; decision = commit
#else
       :: decision == none && !retired -> decision = commit
#endif
       :: else -> skip
       fi
     };
     if
     :: losses < LOSSES -> losses++; lost = true
     :: skip
     fi;
     if
#ifdef NO_REGISTER
     :: lost -> commits = false
#else
     /* Also where its epoch was retired, and nothing stands yet. */
     :: lost || decision == none -> winAbort(); commits = (decision == commit)
#endif
     :: else -> commits = (decision == commit)
     fi
  :: else ->
     /* Some branch may be prepared: the abort is written first, and what stands is obeyed. */
#ifdef NO_ROW
     commits = false
#else
     winAbort();
#ifdef NO_OBEYING
     commits = false
#else
     commits = (decision == commit)
#endif
#endif
  fi;
  b = 0;
  if
  :: commits ->
     told = toldCommitted;
     do
     :: b < BRANCHES -> finish(b, commit); b++
     :: else -> break
     od
  :: else ->
     told = toldRolledBack;
     do
     :: b < BRANCHES -> endUnvoted(b); b++
     :: else -> break
     od
  fi;
  atomic { finished = true; coordinatorAlive = false }
}

/* The coordinator may die in any moment: what it would do next never comes. */
proctype Killer() {
end:
  do
  :: atomic { coordinatorAlive && !finished && crashes < CRASHES -> crashes++; coordinatorAlive = false }
  od
}

proctype Recoverer() {
  byte b;
  mtype seen;
  byte passes = 0;
end:
  do
  /* Also beside a coordinator that lives: safety never rests on who is alive. */
  :: passes < 2 ->
     passes++;
     b = 0;
     do
     :: b < BRANCHES ->
        if
        :: branch[b] == prepared ->
           seen = decision;
           if
           /* It dies between looking and acting, and begins anew. */
           :: crashes < CRASHES -> crashes++; break
           :: skip
           fi;
           if
           :: seen == none ->
#ifdef NO_TOMBSTONE
              seen = abort
#else
              atomic { if :: decision == none -> decision = abort :: else -> skip fi; seen = decision }
#endif
           :: else -> skip
           fi;
           finish(b, seen)
        :: else -> skip
        fi;
        b++
     :: else -> break
     od
  :: passes >= 2 -> break
  od
}

/*
 * An operator who forces commit: it retires the epoch, proves the branches one by one, and writes commit unless something
 * stands. Between its steps anything may happen; what stands is carried out by recovery.
 */
proctype Operator() {
  byte b = 0;
  byte proven = 0;
end:
  if
  :: branch[0] == prepared || branch[1] == prepared -> skip
  fi;
  retired = true;
  do
  :: b < BRANCHES ->
     if
     :: branch[b] == prepared -> proven++
     :: else -> skip
     fi;
     b++
  :: else -> break
  od;
  if
#ifdef NO_PROOF
  :: proven > 0 ->
#else
  :: proven == BRANCHES ->
#endif
     atomic { if :: decision == none -> decision = commit :: else -> skip fi }
  :: else -> skip
  fi
}

#define ANY_COMMITTED (branch[0] == committed || branch[1] == committed)
#define ANY_ROLLED_BACK (branch[0] == rolledBack || branch[1] == rolledBack)

#define ANY_PREPARED (branch[0] == prepared || branch[1] == prepared)

/* One property, so that the states are visited once. */
#define ATOMIC (!(ANY_COMMITTED && ANY_ROLLED_BACK))
#define TOLD_IS_TRUE (!((told == toldRolledBack && ANY_COMMITTED) || (told == toldCommitted && ANY_ROLLED_BACK)))
#define DECIDED_BEFORE (!effectBeforeDecision)
#define NO_ORPHAN (!(finished && told == toldRolledBack && ANY_PREPARED))
#define FENCED (!decidedLate)

ltl safe { [] (ATOMIC && TOLD_IS_TRUE && DECIDED_BEFORE && NO_ORPHAN && FENCED) }

init {
  byte b = 0;
  atomic {
    do
    :: b < BRANCHES -> run Server(b); b++
    :: else -> break
    od;
    run Coordinator();
    run Killer();
    run Recoverer();
#ifdef OPERATOR
    run Operator()
#else
    run Recoverer()
#endif
  }
}
