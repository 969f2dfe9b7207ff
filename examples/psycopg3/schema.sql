CREATE TABLE job (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE
);

CREATE FUNCTION notify_job() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('job', NEW.name);
    RETURN NULL;
END $$;

CREATE TRIGGER notify_job AFTER INSERT ON job FOR EACH ROW EXECUTE FUNCTION notify_job();
