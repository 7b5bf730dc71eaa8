// Print what Redis holds for the entities given: node lookup.mjs u42 u43
import { createClient } from "redis";

const client = await createClient({ url: process.env.REDIS_URL ?? "redis://localhost:6379/0" }).connect();
const model = process.env.MODEL ?? "buyer-intent";
const limit = 60 * 60 * 1000;

for (const entity of process.argv.slice(2)) {
  const value = await client.get(`pred:${model}:${entity}`);
  const p = value ? JSON.parse(value) : null;
  if (!p) {
    console.log(entity, "missing");
  } else if (p.deleted) {
    console.log(entity, "deleted");
  } else {
    const state = Date.now() - Date.parse(p.event_time) < limit ? "fresh" : "stale";
    console.log(entity, state, p.score, p.label ?? "-");
  }
}
client.destroy();
