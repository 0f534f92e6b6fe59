export { type AuditReport, type AuditSources, audit } from './audit/audit.ts';
export { type Finding, judgeBroker, judgeDatabase, judgeProcess, judgeRedis } from './doctor.ts';
export { type Replayed, replay } from './replay.ts';
export { operateRouter } from './router.ts';
