import type { Worker } from 'node:worker_threads'

/** Resolves when a thread is gone, with what it failed with, for people; of a thread that ended unasked, that it did. Never rejects. */
export function threadEnd(worker: Worker): Promise<string> {
  let reason = 'it ended by itself'
  worker.on('error', error => { reason = error.message })
  return new Promise(resolve => { worker.on('exit', () => resolve(reason)) })
}
