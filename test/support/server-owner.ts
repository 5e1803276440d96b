/**
 * A process that starts a server, says where it is and then waits to be killed: servers.test.ts
 * looks at what it leaves behind. Run with: node --import tsx server-owner.ts
 */
import { EmbeddedServer } from './embedded-server.ts';

const server = await EmbeddedServer.start();
console.log(JSON.stringify({ pid: server.pid, directory: server.directory }));
setInterval(() => undefined, 60_000);
