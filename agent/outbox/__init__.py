"""Getting replay segments out: durable spool, sinks, uploader."""
