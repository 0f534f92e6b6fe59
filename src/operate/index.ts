export { type AuditReport, type AuditSources, audit } from './audit/audit.ts';
export { judgeBroker, judgeDatabase, judgeProcess } from './doctor.ts';
export type { Finding } from './finding.ts';
export { type AccessFacts, judgeAccess } from './judge-access.ts';
export { judgeMaintenance } from './judge-maintenance.ts';
export { judgeRedis } from './judge-redis.ts';
export { operateOperations } from './operations.ts';
export { type Replayed, replay } from './replay.ts';
export { operateRouter } from './router.ts';
