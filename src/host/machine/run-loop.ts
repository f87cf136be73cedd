import type { EngineFigures } from '../../cpu/interpreter/figures.ts'
import type { RunOutcome } from '../../vmm/machine.ts'
import type { DiskQueue } from '../disks/disk-queue.ts'
import type { ShareQueue } from '../shares/share-queue.ts'
import { SpinPolicy } from '../disks/spin-policy.ts'
import { Bell } from './channel.ts'
import type { MachineChannel } from './channel.ts'
import type { MachineCard } from '../network/machine-card.ts'
import type { MachineStreams } from '../vsock/machine-streams.ts'
import type { HostClock } from './host-clock.ts'
import type { MachineLine } from './machine-line.ts'
import type { MachineExit } from './machine-exit.ts'

/** Instructions between two looks at the bell: well under a millisecond. */
const SLICE = 20_000
/** To sleep and to be woken takes longer than this. */
const SHORTEST_SLEEP_NS = 50_000
const LONGEST_SLEEP_MS = 10_000
/** How often a busy machine looks whether the host has slept. */
const SLICES_BETWEEN_CLOCK_CHECKS = 1_000
/** How often the figures for `--stats` are brought up to date. */
const SLICES_BETWEEN_STATISTICS = 500

/** What the loop needs of a machine. */
export interface RunnableMachine {
  readonly clock: { now(): number }
  /** Instructions so far. */
  readonly retired: number
  readonly figures: EngineFigures
  run(budget: number): RunOutcome
  powerButton(): void
  describe(): string
}

export interface RunLoopParts {
  readonly machine: RunnableMachine
  readonly channel: MachineChannel
  /** Those with somebody at the host's end. */
  readonly lines: readonly MachineLine[]
  /** Console size and balloon; undefined for a machine without them. */
  readonly devices?: { apply(): void }
  /** Undefined for a machine without disks. */
  readonly disks?: Pick<DiskQueue, 'busy' | 'settle'>
  /** Undefined for one without shares. */
  readonly shares?: Pick<ShareQueue, 'busy' | 'settle'>
  /** Undefined for a machine that cannot be asked for anything. */
  readonly control?: { readonly paused: boolean, look(): void }
  readonly cards?: readonly Pick<MachineCard, 'busy' | 'settle'>[]
  /** Undefined for a machine without a vsock. */
  readonly streams?: Pick<MachineStreams, 'settle'>
  readonly hostClock: HostClock
  /** Tells the main thread to look at the rings. */
  readonly notify: () => void
}

/** Runs a machine on this thread, which it blocks, until the machine ends. */
export function runUntilEnd(parts: RunLoopParts): MachineExit {
  const { machine, channel, hostClock } = parts
  const started = performance.now()
  const spin = new SpinPolicy()
  let slept = 0
  const tell = (): void => channel.statistics.write({ ...machine.figures, busyMilliseconds: performance.now() - started - slept })
  for (let slice = 0; ; slice++) {
    const bell = channel.answer()
    if (bell !== 0) answer(bell, parts)
    if (parts.control?.paused) standStill(parts, parts.control)
    const outcome = machine.run(SLICE)
    settle(parts)
    const exit = exitOf(outcome, machine)
    if (exit !== undefined || slice % SLICES_BETWEEN_STATISTICS === 0) tell()
    if (exit !== undefined) return exit
    if (outcome.state === 'halted') {
      const before = performance.now()
      sleep(outcome.wakeAt - machine.clock.now(), parts, spin)
      slept += performance.now() - before
    } else if (slice % SLICES_BETWEEN_CLOCK_CHECKS === 0) hostClock.catchUp()
  }
}

/**
 * Until the owner lets it go on. What else the bell is rung for waits so long: a machine that was saved must not change any more, or what
 * it sends and takes would come twice.
 */
function standStill(parts: RunLoopParts, control: NonNullable<RunLoopParts['control']>): void {
  const { channel, hostClock } = parts
  let waiting = 0
  settle(parts)
  while (control.paused) {
    channel.sleep(LONGEST_SLEEP_MS)
    const bell = channel.answer()
    waiting |= bell & ~Bell.SNAPSHOT
    if (bell & Bell.SNAPSHOT) control.look()
  }
  channel.ring(waiting)
  hostClock.catchUp()
}

function answer(bell: number, { machine, lines, devices, disks, shares, control, cards = [], streams }: RunLoopParts): void {
  if (bell & Bell.POWER_BUTTON) machine.powerButton()
  if (bell & Bell.DISK) disks?.settle()
  if (bell & Bell.SHARE) shares?.settle()
  if (bell & Bell.CONTROL) devices?.apply()
  if (bell & Bell.NETWORK) for (const card of cards) card.settle()
  if (bell & Bell.SOCKET) streams?.settle()
  for (const line of lines) {
    if (bell & Bell.ROOM) line.release()
    if (bell & Bell.INPUT) line.inputReady()
  }
  // The last: it may be told to stand still.
  if (bell & Bell.SNAPSHOT) control?.look()
}

function settle({ machine, lines, channel, notify }: RunLoopParts): void {
  channel.instructions = machine.retired
  let news = false
  for (const line of lines) {
    if (line.settle()) news = true
  }
  if (news && channel.claimNotice()) notify()
}

function exitOf(outcome: RunOutcome, machine: RunnableMachine): MachineExit | undefined {
  if (outcome.state === 'ended') return { reason: outcome.reason, detail: outcome.reason === 'power-off' ? '' : machine.describe() }
  if (outcome.state === 'halted' && !outcome.interruptible) return { reason: 'halted', detail: machine.describe() }
  return undefined
}

function sleep(nanoseconds: number, { channel, hostClock, disks, shares, cards }: RunLoopParts, spin: SpinPolicy): void {
  if (nanoseconds < SHORTEST_SLEEP_NS) return
  if ((disks?.busy || shares?.busy || cards?.some(card => card.busy)) && lookOn(channel, spin)) return
  channel.sleep(Math.min(nanoseconds / 1e6, LONGEST_SLEEP_MS))
  hostClock.catchUp()
}

/** A disk, a share or the network answers soon, perhaps: whether the bell was rung before it is worth while to sleep. */
function lookOn(channel: MachineChannel, spin: SpinPolicy): boolean {
  const milliseconds = spin.begin()
  if (milliseconds === 0) return false
  const deadline = performance.now() + milliseconds
  while (!channel.isRung && performance.now() < deadline);
  spin.ended(channel.isRung)
  return channel.isRung
}
