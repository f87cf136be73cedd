import { hostError } from '../../host/errors.ts'
import { ExitStatus } from '../errors.ts'
import { hostOf } from '../named-guests.ts'
import { DEFAULT_STOP_MS, stopGuest } from '../stop-guest.ts'
import type { Surroundings } from '../surroundings.ts'
import { task } from '../task.ts'
import type { AddCommand } from '../task.ts'
import { parseSeconds } from '../values.ts'

export interface StopGuestsRequest {
  readonly names: readonly string[]
  readonly force: boolean
  readonly timeoutMs: number
}

export const addStop: AddCommand = (program, line) => {
  program.command('stop')
    .summary('power off named guests')
    .description('Presses the power button of guests, waits until they have ended, and kills those that do not end in time.')
    .argument('<name...>', 'which')
    .option('--force', 'at once: the guest is not asked')
    .option('--timeout <seconds>', 'how long it may take to power off (default: 60)', text => parseSeconds('--timeout', text))
    .action((names: string[], { force = false, timeout = DEFAULT_STOP_MS }: { force?: boolean, timeout?: number }) => {
      line.take(task<StopGuestsRequest>({ names, force, timeoutMs: timeout }, stop))
    })
}

async function stop({ names, ...request }: StopGuestsRequest, surroundings: Surroundings): Promise<number> {
  await Promise.all(names.map(async name => {
    const host = await hostOf(name, surroundings)
    if (host === undefined) throw hostError('GUEST_NOT_RUNNING', `the guest ${name} does not run`)
    await stopGuest(host, name, request, surroundings)
  }))
  return ExitStatus.OK
}
