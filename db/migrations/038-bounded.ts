import type { Knex } from 'knex';

/**
 * What a target runs by the record, and which numbers were given out for it, is audited whoever writes it. Fencing numbers are
 * bounded and counters rise by one, so that none is brought to its end and stops what it counts.
 */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    -- Far beyond what is ever given out, and far below what a number can hold. What is beyond it was written past Signalbox,
    -- and nothing could begin on that target.
    DO $beyond$ DECLARE
      t record;
      next bigint;
    BEGIN
      FOR t IN SELECT name, fence FROM targets WHERE greatest(fence, lost_fence) > 1000000000000 LOOP
        SELECT coalesce(max(fence), 0) + 1000 INTO next FROM deployments
         WHERE target = t.name AND fence <= 999000000000;
        UPDATE targets SET fence = next, lost_fence = least(lost_fence, next) WHERE name = t.name;
        PERFORM write_audit('signalbox', 'target.fence-raised', t.name, jsonb_build_object('fence', t.fence),
          jsonb_build_object('fence', next), 'The record said a number that nobody had given out.', NULL);
      END LOOP;
    END $beyond$;
    ALTER TABLE targets ADD CONSTRAINT targets_fence CHECK (fence BETWEEN 0 AND 1000000000000
      AND lost_fence BETWEEN 0 AND 1000000000000);
    ALTER TABLE deployments ADD CONSTRAINT deployments_fence CHECK (fence BETWEEN 0 AND 1000000000000) NOT VALID;
    ALTER TABLE deployment_steps ADD CONSTRAINT steps_fence CHECK (fence BETWEEN 0 AND 1000000000000) NOT VALID;
    ALTER TABLE adoptions ADD CONSTRAINT adoptions_fence CHECK (fence BETWEEN 0 AND 1000000000000) NOT VALID;

    -- Not SECURITY DEFINER: it lets be who owns the table.
    CREATE FUNCTION keep_target() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF pg_has_role(current_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'USAGE') THEN RETURN NEW; END IF;
      IF TG_OP = 'INSERT' THEN
        IF (NEW.fence, NEW.lost_fence, NEW.version) <> (0, 0, 1) OR NEW.current_deployment IS NOT NULL THEN
          RAISE EXCEPTION 'target % begins with no number and no deployment', NEW.name;
        END IF;
        RETURN NEW;
      END IF;
      IF NEW.fence < OLD.fence OR NEW.lost_fence < OLD.lost_fence THEN
        RAISE EXCEPTION 'fencing numbers of % only rise', NEW.name;
      END IF;
      IF NEW.current_deployment IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM deployments WHERE id = NEW.current_deployment AND target = NEW.name)
      THEN
        RAISE EXCEPTION 'deployment % is none of %', NEW.current_deployment, NEW.name;
      END IF;
      RETURN NEW;
    END $$;
    CREATE TRIGGER keep_target BEFORE INSERT OR UPDATE ON targets FOR EACH ROW EXECUTE FUNCTION keep_target();

    CREATE FUNCTION target_fields(t targets) RETURNS jsonb LANGUAGE sql STABLE AS $$
      SELECT jsonb_build_object('live', t.observed, 'root', t.root,
        'current', (SELECT 'CP-' || promotion || '.' || attempt FROM deployments WHERE id = t.current_deployment))
    $$;
    CREATE FUNCTION audit_target() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
      mover text := moved_by(OLD.moved, NEW.moved);
      before jsonb := target_fields(OLD);
      after jsonb := target_fields(NEW);
    BEGIN
      -- The next number says nothing; whoever takes it is recorded with it.
      IF NEW.fence NOT IN (OLD.fence, OLD.fence + 1) OR NEW.lost_fence <> OLD.lost_fence THEN
        PERFORM record_audit(mover, 'target.fence-raised', NEW.name, jsonb_build_object('fence', OLD.fence),
          jsonb_build_object('fence', NEW.fence), NEW.moved ->> 'why', NEW.moved ->> 'request');
      END IF;
      IF before <> after THEN
        PERFORM record_audit(mover, 'target.changed', NEW.name, differing(before, after), differing(after, before),
          NEW.moved ->> 'why', NEW.moved ->> 'request');
      END IF;
      RETURN NULL;
    END $$;
    CREATE TRIGGER audit AFTER UPDATE ON targets FOR EACH ROW
      WHEN ((OLD.fence, OLD.lost_fence, OLD.current_deployment, OLD.observed, OLD.root)
        IS DISTINCT FROM (NEW.fence, NEW.lost_fence, NEW.current_deployment, NEW.observed, NEW.root))
      EXECUTE FUNCTION audit_target();

    -- Not SECURITY DEFINER, either.
    CREATE FUNCTION keep_adoption() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF pg_has_role(current_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'USAGE') THEN RETURN NEW; END IF;
      IF TG_OP = 'INSERT' THEN
        IF NEW.fence > (SELECT fence FROM targets WHERE name = NEW.target) THEN
          RAISE EXCEPTION 'number % was not given out for %', NEW.fence, NEW.target;
        END IF;
        IF NEW.adopted OR NEW.live IS NOT NULL THEN
          RAISE EXCEPTION 'adoption % has only been asked for', NEW.id;
        END IF;
      ELSIF OLD.outcome IS NOT NULL THEN
        RAISE EXCEPTION 'adoption % has ended: what the record says of it stays', NEW.id;
      END IF;
      RETURN NEW;
    END $$;
    CREATE TRIGGER keep_adoption BEFORE INSERT OR UPDATE ON adoptions FOR EACH ROW EXECUTE FUNCTION keep_adoption();

    CREATE FUNCTION audit_adoption() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF TG_OP = 'INSERT' THEN
        PERFORM record_audit(NEW.adopted_by, 'adoption.asked', NEW.target, NULL,
          jsonb_build_object('adoption', NEW.id, 'fence', NEW.fence), NEW.reason, NEW.request_id);
        IF NEW.outcome IS NULL THEN RETURN NULL; END IF;
      ELSIF NEW.outcome IS NOT DISTINCT FROM OLD.outcome AND NEW.adopted IS NOT DISTINCT FROM OLD.adopted THEN
        RETURN NULL;
      END IF;
      IF NEW.adopted THEN
        PERFORM record_audit(NEW.adopted_by, 'target.adopted', NEW.target, NULL,
          jsonb_build_object('live', NEW.live, 'fence', NEW.fence), NEW.reason, NEW.request_id);
      ELSE
        PERFORM record_audit('signalbox', 'adoption.refused', NEW.target, NULL,
          jsonb_build_object('adoption', NEW.id, 'fence', NEW.fence), NEW.outcome, NEW.request_id);
      END IF;
      RETURN NULL;
    END $$;
    CREATE TRIGGER audit AFTER INSERT OR UPDATE ON adoptions FOR EACH ROW EXECUTE FUNCTION audit_adoption();

    -- A counter that stands at its end stops what it counts: none is put there.
    CREATE FUNCTION keep_counter() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF pg_has_role(current_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'USAGE') THEN RETURN NEW; END IF;
      RAISE EXCEPTION 'the % of a row of % rises by one and not otherwise', TG_ARGV[0], TG_TABLE_NAME;
    END $$;
    DO $counters$ DECLARE
      counter record;
    BEGIN
      FOR counter IN SELECT * FROM (VALUES
        ('promotions', 'version'), ('change_requests', 'version'), ('change_requests', 'submission'),
        ('change_requests', 'revision'), ('deployments', 'version'), ('targets', 'version'), ('backlog_items', 'version'),
        ('epics', 'version'), ('blockers', 'version'), ('wip_limits', 'version'), ('words', 'version'),
        ('deployment_windows', 'version'), ('window_overrides', 'version'), ('window_revision', 'revision'),
        ('deliveries', 'round')) c (tab, col)
      LOOP
        EXECUTE format('CREATE TRIGGER keep_%2$s BEFORE UPDATE OF %2$I ON %1$I FOR EACH ROW
          WHEN (NEW.%2$I NOT BETWEEN OLD.%2$I AND OLD.%2$I::bigint + 1) EXECUTE FUNCTION keep_counter(%2$L)', counter.tab, counter.col);
      END LOOP;
    END $counters$;

    -- Which incarnation of the database this is decides what is asked of an attempt.
    CREATE FUNCTION audit_installation() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      PERFORM record_audit('signalbox', 'database.incarnation', 'database', jsonb_build_object('incarnation', OLD.incarnation),
        jsonb_build_object('incarnation', NEW.incarnation), NULL, NULL);
      RETURN NULL;
    END $$;
    CREATE TRIGGER audit AFTER UPDATE ON installation FOR EACH ROW
      WHEN (OLD.incarnation <> NEW.incarnation) EXECUTE FUNCTION audit_installation();
  `);
}

export async function down(): Promise<void> {
  throw new Error('Signalbox migrations only go forward; restore a backup of the database instead.');
}
