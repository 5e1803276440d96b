// npm install pgxa pg; the servers of orders and billing need max_prepared_transactions > 0.
import { createTransactionManager, migrateDecisionLog } from 'pgxa';

const { PGXA_LOG_URL, ORDERS_URL, BILLING_URL } = process.env;

// Creates the tables of the decision log, a database of its own. Safe to repeat.
await migrateDecisionLog({ connectionString: PGXA_LOG_URL });

const tm = await createTransactionManager({
  coordinator: 'quick-start',
  decisionLog: { connectionString: PGXA_LOG_URL },
  participants: {
    orders: { connectionString: ORDERS_URL },
    billing: { connectionString: BILLING_URL },
  },
});

// Finishes what an earlier run may have left in doubt.
await tm.recover();

await tm.run(async (tx) => {
  await tx.on('orders').query('create table if not exists orders (id uuid, item text)');
  await tx.on('billing').query('create table if not exists invoices (order_id uuid, cents int)');
});

// Both rows or none: when run() resolves, the transaction is durable on both servers.
const orderId = await tm.run({ label: 'order of a lamp', timeoutMs: 5_000 }, async (tx) => {
  await tx.on('orders').query('insert into orders values ($1, $2)', [tx.id, 'lamp']);
  await tx.on('billing').query('insert into invoices values ($1, $2)', [tx.id, 4_900]);
  return tx.id;
});

console.log(`transaction ${orderId} is ${await tm.outcomeOf(orderId)}`);
await tm.close();
