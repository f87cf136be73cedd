/**
 * What a suspended guest leaves: its machine as a snapshot, and beside it what the snapshot does not hold.
 *
 *     suspended.snapshot   the machine (src/vmm/snapshot/README.md)
 *     suspended.json       { since, shares, cards, disks }: what the guest knew of its shares, which address and connections it had by its
 *                          cards, and how its disks' files looked then
 *
 * Both or nothing: without the second, the first is no more than what a process left that died. A state is good for one time, because the
 * guest that goes on changes its disks; it is taken away before that, so that whatever becomes of the guest, no later start can go back
 * to memory that does not fit its disks any more.
 */
import { readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { z } from 'zod'
import { TenonError } from '../../base/errors.ts'
import { explained } from '../cache/file-errors.ts'
import type { DiskGraph } from '../disks/disk-order.ts'
import { hostError } from '../errors.ts'
import { decodePlain, encodePlain } from '../../vmm/snapshot/plain-json.ts'
import type { PlainData } from '../../machine/lifecycle.ts'
import type { MachineSnapshots } from '../machine/session.ts'
import { MAXIMUM_SHARES } from '../shares/share-order.ts'
import { GUEST_FILES } from './home.ts'
import type { GuestFolder } from './home.ts'

const MAXIMUM_CARDS = 6

/** A file of a disk, as it was when the guest was suspended: its time in milliseconds since 1970. */
const stampSchema = z.strictObject({ path: z.string(), size: z.number(), changed: z.number() })
type DiskStamp = z.infer<typeof stampSchema>

const stateSchema = z.strictObject({ since: z.number(), shares: z.array(z.custom<PlainData>()).max(MAXIMUM_SHARES), cards: z.array(z.custom<PlainData>()).max(MAXIMUM_CARDS), disks: z.array(stampSchema) })

/** What a machine goes on with. */
export interface Suspension {
  readonly snapshot: string
  /** By share. */
  readonly shares: readonly PlainData[]
  /** By card. */
  readonly cards: readonly PlainData[]
}

export class SuspensionFiles {
  readonly #folder: GuestFolder

  constructor(folder: GuestFolder) { this.#folder = folder }

  /** Whether the guest is suspended. */
  async exist(): Promise<boolean> { return stat(this.#folder.suspension).then(() => true, () => false) }

  /**
   * Saves a machine that stands still, and may be ended then. @throws TenonError SNAPSHOT_DISK_FULL, SNAPSHOT_UNWRITABLE, GUEST_FILES_FULL,
   * GUEST_FILES_UNUSABLE; nothing is left then.
   */
  async write(snapshots: MachineSnapshots): Promise<void> {
    try {
      await snapshots.save(this.#folder.snapshot)
      await this.#describe({ shares: await snapshots.shares(), cards: await snapshots.cards(), disks: [] })
    } catch (error) {
      await this.remove()
      throw error
    }
  }

  /** The machine has ended, and its disks are closed: notes how they look, so that a change is noticed. */
  async stamp(graphs: readonly DiskGraph[]): Promise<void> {
    await this.#describe({ ...await this.#read(), disks: await Promise.all(graphs.flatMap(filesOf).map(stampOf)) })
  }

  /**
   * Takes the state away, for a machine that goes on with it. Undefined if there is none. `giveBack` is for a start that fails; `remove`
   * for one that succeeds.
   * @throws TenonError GUEST_DISK_CHANGED, SNAPSHOT_INVALID.
   */
  async take(): Promise<Suspension | undefined> {
    if (!await this.exist()) {
      await this.remove()
      return undefined
    }
    const { shares, cards, disks } = await this.#read()
    for (const stamp of disks) await this.#checkUnchanged(stamp)
    await explained(this.#folder.suspension, () => rename(this.#folder.suspension, this.#taken), GUEST_FILES)
    return { snapshot: this.#folder.snapshot, shares, cards }
  }

  async giveBack(): Promise<void> { await rename(this.#taken, this.#folder.suspension) }

  async remove(): Promise<void> {
    const { suspension, snapshot } = this.#folder
    // First what makes the rest a state.
    for (const path of [suspension, this.#taken, snapshot]) await rm(path, { force: true })
  }

  get #taken(): string { return `${this.#folder.suspension}.taken` }

  async #describe({ shares, cards, disks }: Pick<Suspension, 'shares' | 'cards'> & { readonly disks: readonly DiskStamp[] }): Promise<void> {
    const { suspension } = this.#folder
    const aside = `${suspension}.part`
    await explained(suspension, async () => {
      await writeFile(aside, encodePlain({ since: Date.now(), shares, cards, disks: disks.map(stamp => ({ ...stamp })) }), { mode: 0o600, flush: true })
      await rename(aside, suspension)
    }, GUEST_FILES)
  }

  async #read(): Promise<z.infer<typeof stateSchema>> {
    const { suspension } = this.#folder
    const plain = decodePlain(await explained(suspension, () => readFile(suspension), GUEST_FILES), suspension)
    const state = stateSchema.safeParse(plain)
    if (state.success) return state.data
    throw new TenonError('SNAPSHOT_INVALID', `${suspension} is damaged: start the guest with --fresh, as after a power failure`)
  }

  async #checkUnchanged({ path, size, changed }: DiskStamp): Promise<void> {
    const now = await stampOf(path).catch(() => undefined)
    if (now?.size === size && now.changed === changed) return
    const what = now === undefined ? 'is not there any more' : 'was changed since the guest was suspended'
    throw hostError('GUEST_DISK_CHANGED', `the disk ${path} ${what}, and what the guest has in memory does not fit it: bring it back as it was, `
      + 'or start the guest with --fresh, as after a power failure')
  }
}

async function stampOf(path: string): Promise<DiskStamp> {
  const { size, mtimeMs } = await stat(path)
  return { path, size, changed: mtimeMs }
}

/** Files of the host that the guest writes to. */
function filesOf(graph: DiskGraph): string[] {
  if (typeof graph === 'string') return [graph]
  if (graph.readOnly === true) return []
  const own = graph.kind === 'file' && typeof graph.path === 'string' ? [graph.path] : []
  return [...own, ...Object.values(graph).flat().flatMap(value => (isGraph(value) ? filesOf(value) : []))]
}

function isGraph(value: unknown): value is DiskGraph {
  return typeof value === 'object' && value !== null && typeof (value as { kind?: unknown }).kind === 'string'
}
