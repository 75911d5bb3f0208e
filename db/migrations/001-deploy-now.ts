import type { Knex } from 'knex';

/**
 * Promotions, their change requests, deployments and journal. Status values are spelled out on purpose: a
 * migration says what the database was at that time; a test compares the live CHECKs with `domain/machines`.
 */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    CREATE TABLE tokens (
      id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      token_sha256 text NOT NULL UNIQUE,
      person text NOT NULL,
      roles text[] NOT NULL,
      created_at timestamptz NOT NULL DEFAULT now()
    );

    CREATE TABLE targets (
      name text PRIMARY KEY,
      fence bigint NOT NULL DEFAULT 0,
      current_deployment integer,
      version integer NOT NULL DEFAULT 1,
      created_at timestamptz NOT NULL DEFAULT now(),
      updated_at timestamptz NOT NULL DEFAULT now()
    );

    CREATE TABLE promotions (
      id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      target text NOT NULL REFERENCES targets,
      title text NOT NULL,
      revision text NOT NULL,
      commit text NOT NULL,
      status text NOT NULL DEFAULT 'pending' CONSTRAINT promotions_status CHECK (status IN
        ('pending', 'approved', 'executing', 'deployed', 'rolled-back', 'rejected', 'withdrawn', 'superseded')),
      shipped_by text NOT NULL,
      shipped_at timestamptz NOT NULL DEFAULT now(),
      approved_at timestamptz,
      executing_at timestamptz,
      deployed_at timestamptz,
      rolled_back_at timestamptz,
      rejected_at timestamptz,
      withdrawn_at timestamptz,
      superseded_at timestamptz,
      version integer NOT NULL DEFAULT 1,
      created_at timestamptz NOT NULL DEFAULT now(),
      updated_at timestamptz NOT NULL DEFAULT now()
    );

    -- One change request per promotion, with the same number: RFC-7 is the request of CP-7.
    CREATE TABLE change_requests (
      id integer PRIMARY KEY REFERENCES promotions,
      type text NOT NULL CHECK (type IN ('normal', 'emergency')),
      risk text NOT NULL CHECK (risk IN ('low', 'medium', 'high', 'critical')),
      description text NOT NULL DEFAULT '',
      emergency_reason text,
      requester text NOT NULL,
      status text NOT NULL DEFAULT 'draft' CONSTRAINT change_requests_status CHECK (status IN
        ('draft', 'submitted', 'approved', 'in-progress', 'completed', 'rejected', 'cancelled')),
      submission integer NOT NULL DEFAULT 0,
      outcome text,
      submitted_at timestamptz,
      approved_at timestamptz,
      in_progress_at timestamptz,
      completed_at timestamptz,
      rejected_at timestamptz,
      cancelled_at timestamptz,
      followed_at timestamptz,
      version integer NOT NULL DEFAULT 1,
      created_at timestamptz NOT NULL DEFAULT now(),
      updated_at timestamptz NOT NULL DEFAULT now(),
      CHECK (type <> 'emergency' OR emergency_reason IS NOT NULL)
    );

    CREATE TABLE decisions (
      id uuid PRIMARY KEY,
      change_request integer NOT NULL REFERENCES change_requests,
      submission integer NOT NULL,
      approver text NOT NULL,
      decision text NOT NULL CHECK (decision IN ('approve', 'reject')),
      comment text,
      counted boolean NOT NULL,
      refusal_code text,
      refusal text,
      at timestamptz NOT NULL DEFAULT now(),
      CHECK (counted = (refusal_code IS NULL))
    );
    CREATE INDEX ON decisions (change_request, at);

    CREATE TABLE deployments (
      id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      promotion integer NOT NULL REFERENCES promotions,
      attempt integer NOT NULL,
      target text NOT NULL REFERENCES targets,
      trigger text NOT NULL CHECK (trigger IN ('deploy', 'retry', 'rollback')),
      status text NOT NULL DEFAULT 'queued' CONSTRAINT deployments_status CHECK (status IN
        ('queued', 'waiting-for-window', 'running', 'rolling-back', 'rollback-failed', 'succeeded',
         'rolled-back', 'refused', 'cancelled', 'superseded')),
      started_by text NOT NULL,
      reason text,
      -- The workflow that may act for this attempt; recovery takes it over.
      owner text NOT NULL,
      run_id text NOT NULL,
      fence bigint,
      from_deployment integer REFERENCES deployments,
      from_release text,
      to_release text,
      -- What a rollback by hand returns to: the deployment that put that release there.
      restores integer REFERENCES deployments,
      migration_began boolean NOT NULL DEFAULT false,
      log_seq integer NOT NULL DEFAULT 0,
      waiting_for text,
      failure text,
      outcome text,
      outcome_code text,
      started_at timestamptz,
      finished_at timestamptz,
      version integer NOT NULL DEFAULT 1,
      created_at timestamptz NOT NULL DEFAULT now(),
      updated_at timestamptz NOT NULL DEFAULT now(),
      UNIQUE (promotion, attempt)
    );
    ALTER TABLE targets ADD FOREIGN KEY (current_deployment) REFERENCES deployments;
    -- One attempt at a time per promotion, one running deployment per target.
    CREATE UNIQUE INDEX one_open_attempt ON deployments (promotion) WHERE status IN
      ('queued', 'waiting-for-window', 'running', 'rolling-back', 'rollback-failed');
    CREATE UNIQUE INDEX one_lane_holder ON deployments (target) WHERE status IN
      ('running', 'rolling-back', 'rollback-failed');
    CREATE INDEX lane_queue ON deployments (target, id) WHERE status = 'queued';
    CREATE INDEX deployments_of_target ON deployments (target, id);

    CREATE TABLE deployment_steps (
      deployment integer NOT NULL REFERENCES deployments,
      name text NOT NULL,
      ordinal integer GENERATED ALWAYS AS IDENTITY,
      status text NOT NULL CONSTRAINT steps_status CHECK (status IN ('running', 'done', 'failed')),
      -- Which try holds the step: an older one that wakes up late is refused.
      round integer NOT NULL,
      attempt integer NOT NULL,
      fence bigint,
      detail text NOT NULL DEFAULT '',
      started_at timestamptz NOT NULL DEFAULT now(),
      finished_at timestamptz,
      PRIMARY KEY (deployment, name)
    );

    -- Lines are only written by the statement that counts them in their deployment's row, so that no reference has
    -- to be checked line by line.
    CREATE TABLE deployment_log (
      deployment integer NOT NULL,
      seq integer NOT NULL,
      at timestamptz NOT NULL,
      step text NOT NULL,
      stream text NOT NULL,
      text text NOT NULL,
      PRIMARY KEY (deployment, seq)
    );

    CREATE TABLE builds (
      target text NOT NULL REFERENCES targets,
      commit text NOT NULL,
      recipe text NOT NULL,
      digest text NOT NULL,
      bytes bigint NOT NULL,
      built_by integer NOT NULL REFERENCES deployments,
      started_at timestamptz NOT NULL,
      finished_at timestamptz NOT NULL,
      PRIMARY KEY (target, commit, recipe)
    );

    CREATE TABLE backups (
      deployment integer PRIMARY KEY REFERENCES deployments,
      reference text NOT NULL,
      sha256 text NOT NULL,
      bytes bigint NOT NULL,
      entries integer NOT NULL,
      verified_at timestamptz NOT NULL
    );

    CREATE TABLE idempotency_keys (
      person text NOT NULL,
      key text NOT NULL,
      request text NOT NULL,
      resource text,
      status integer,
      response jsonb,
      created_at timestamptz NOT NULL DEFAULT now(),
      PRIMARY KEY (person, key)
    );

    -- Every change is announced as "entity key number" (a payload is limited to 8,000 bytes); listeners re-read.
    -- The number is the row's version, for a log the number of its last line.
    CREATE FUNCTION announce(entity text, key text, number integer) RETURNS void LANGUAGE sql AS $$
      SELECT pg_notify('signalbox', entity || ' ' || key || ' ' || number)
    $$;
    CREATE FUNCTION announce_promotion() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM announce('promotion', 'CP-' || NEW.id, NEW.version); RETURN NULL; END $$;
    CREATE FUNCTION announce_change_request() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM announce('change-request', 'RFC-' || NEW.id, NEW.version); RETURN NULL; END $$;
    CREATE FUNCTION announce_decision() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      PERFORM announce('change-request', 'RFC-' || id, version) FROM change_requests WHERE id = NEW.change_request;
      RETURN NULL;
    END $$;
    CREATE FUNCTION announce_deployment() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF TG_OP = 'UPDATE' AND NEW.log_seq <> OLD.log_seq THEN
        PERFORM announce('log', 'CP-' || NEW.promotion || '.' || NEW.attempt, NEW.log_seq);
      ELSE
        PERFORM announce('deployment', 'CP-' || NEW.promotion || '.' || NEW.attempt, NEW.version);
      END IF;
      RETURN NULL;
    END $$;
    CREATE FUNCTION announce_step() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      PERFORM announce('deployment', 'CP-' || promotion || '.' || attempt, version)
        FROM deployments WHERE id = NEW.deployment;
      RETURN NULL;
    END $$;
    CREATE FUNCTION announce_target() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM announce('target', NEW.name, NEW.version); RETURN NULL; END $$;

    CREATE TRIGGER announce AFTER INSERT OR UPDATE ON promotions
      FOR EACH ROW EXECUTE FUNCTION announce_promotion();
    CREATE TRIGGER announce AFTER INSERT OR UPDATE ON change_requests
      FOR EACH ROW EXECUTE FUNCTION announce_change_request();
    CREATE TRIGGER announce AFTER INSERT ON decisions
      FOR EACH ROW EXECUTE FUNCTION announce_decision();
    CREATE TRIGGER announce AFTER INSERT OR UPDATE ON deployments
      FOR EACH ROW EXECUTE FUNCTION announce_deployment();
    CREATE TRIGGER announce AFTER INSERT OR UPDATE ON deployment_steps
      FOR EACH ROW EXECUTE FUNCTION announce_step();
    CREATE TRIGGER announce AFTER UPDATE ON targets
      FOR EACH ROW EXECUTE FUNCTION announce_target();
  `);
}

export async function down(): Promise<void> {
  throw new Error('Signalbox migrations only go forward; restore a backup of the database instead.');
}
