import type { Config } from '../config.ts';

export function topologyOf(config: Config) {
  return { queueName: config.queueName, queueType: config.queueType, maxLength: config.queueMaxLength };
}
