/**
 * The first command of every session of our own. The owner of a database, or of a schema in the search path, can put
 * functions, tables and operators in front of the server's own, or beside them with a better fit: they would run with
 * the rights of pgxa, and answer in the place of the server. SET is no function, so nothing stands in front of it.
 */
export const SAFE_PATH_SQL = 'set search_path = pg_catalog, pg_temp';
