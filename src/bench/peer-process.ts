import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { TenonError } from '../base/errors.ts'

/** A program that runs beside the one that is measured, and is part of it: a peer's machine. It is there when its socket is. */
export interface PeerCommand {
  readonly program: string
  readonly args: readonly string[]
  readonly socket: string
}

const POLL_MS = 50
const START_SECONDS = 20

/** Starts it. Throws TenonError BENCH_GUEST_FAILED if its socket does not come. */
export async function startPeer({ program, args, socket }: PeerCommand): Promise<ChildProcess> {
  await rm(socket, { force: true })
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => { said = (said + text).slice(-1000) })
  child.on('error', error => { said = error.message })
  for (let waited = 0; waited < START_SECONDS * 1000; waited += POLL_MS) {
    if (existsSync(socket)) return child
    await sleep(POLL_MS)
    if (child.exitCode !== null || child.pid === undefined) break
  }
  await killed(child)
  const why = said.trim() || `nothing within ${START_SECONDS} s`
  throw new TenonError('BENCH_GUEST_FAILED', `the peer's ${program} did not open its socket: ${why}`)
}

/** Resolves when the program is gone: its files are free then. */
export async function killed(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
}
