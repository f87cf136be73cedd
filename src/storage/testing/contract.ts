import { describe, expect, it } from 'vitest'
import { TenonError } from '../../base/errors.ts'
import { Random } from '../../base/testing/random.ts'
import type { BlockNode } from '../block-node.ts'
import { byteLength } from '../buffers.ts'
import { MemoryStore } from './memory-file.ts'
import { checkCrash, DiskModel, expectContent, readAll, scattered } from './disk-model.ts'

/** How the suite wants a node built. */
export interface NodeOptions {
  readonly size: number
  readonly readOnly: boolean
  /** True: a new disk. False: the files in `store` are one that was built before, perhaps left by a crash. */
  readonly create: boolean
  /** The files that the node is to lie in. Only what is in them outlives a crash. */
  readonly store: MemoryStore
}

export interface NodeTraits {
  /** Bytes of the disk under test; default 1 MiB and a bit. A multiple of 512. */
  readonly size?: number
  /** What a new disk reads as, for a node over another; zeros if left out. */
  readonly content?: (size: number) => Uint8Array
  /** Whether it is in `store`, so that it can be opened again; default true. */
  readonly persistent?: boolean
  /** Whether writes are allowed at all; default true. Without, only reading is tested, of `content`. */
  readonly writable?: boolean
  /** Whether the size can change; default false. Then `resize` must reject with DISK_UNSUPPORTED. */
  readonly resizable?: boolean
  /** Crashes to try for each of three seeds; default 40. */
  readonly crashes?: number
  /** The format's own check of the files; throws if they contradict themselves. Called after closing and after each crash. */
  readonly check?: (store: MemoryStore) => Promise<void>
}

export type Build = (options: NodeOptions) => Promise<BlockNode>

const DEFAULT_SIZE = (1 << 20) + 7 * 512
const SEEDS = [1, 2, 3]
const STEPS = 250
const BATCHES = 12

/**
 * What holds for every node, whatever it does. `build` makes or opens one.
 *
 * A test file calls it once: `blockNodeContract('raw', async ({ store, size, create, readOnly }) => ...)`.
 */
export function blockNodeContract(name: string, build: Build, traits: NodeTraits = {}): void {
  const subject = new Subject(build, traits)
  describe(`${name}: block node contract`, () => {
    reading(subject)
    bounds(subject)
    closing(subject)
    if (traits.writable === false) refusing(subject, async () => subject.open(new MemoryStore(), true, true))
    else writing(subject)
    if (traits.writable !== false && subject.persistent) persisting(subject)
  })
}

/** Only the crashes of the contract, but `crashes` of them for each of `seeds` workloads: for a slow test. */
export function crashContract(name: string, build: Build, traits: NodeTraits, seeds: readonly number[]): void {
  const subject = new Subject(build, traits)
  describe(`${name}: crashes`, () => { crashing(subject, seeds) })
}

class Subject {
  readonly size: number
  readonly traits: NodeTraits
  readonly persistent: boolean
  private readonly build: Build

  constructor(build: Build, traits: NodeTraits) {
    this.build = build
    this.traits = traits
    this.size = traits.size ?? DEFAULT_SIZE
    this.persistent = traits.persistent !== false
  }

  get content(): Uint8Array { return this.traits.content?.(this.size) ?? new Uint8Array(this.size) }

  open(store: MemoryStore, create: boolean, readOnly = false): Promise<BlockNode> {
    return this.build({ size: this.size, readOnly, create, store })
  }

  async fresh(): Promise<{ node: BlockNode, store: MemoryStore, model: DiskModel }> {
    const store = new MemoryStore()
    const node = await this.open(store, true, this.traits.writable === false)
    return { node, store, model: new DiskModel(this.content) }
  }

  async check(store: MemoryStore): Promise<void> { await this.traits.check?.(store) }
}

const code = (code: string): unknown => expect.objectContaining({ code })

function reading(subject: Subject): void {
  it('is as large as it was made, and reads as it should', async () => {
    const { node } = await subject.fresh()
    expect(node.size).toBe(subject.size)
    expect(node.kind).toMatch(/^[a-z][a-z0-9-]*$/)
    expectContent(await readAll(node), subject.content)
    await node.close()
  })

  it('reads at any alignment, into scattered buffers and nowhere else', async () => {
    const { node, model } = await subject.fresh()
    const random = new Random(9)
    for (let step = 0; step < 100; step++) {
      const { offset, length } = model.range(random)
      const { buffers, intact } = scattered(random, length)
      await node.read(offset, buffers)
      model.expectRead(offset, buffers)
      intact()
    }
    await node.close()
  })

  it('says what is known of every range', async () => {
    const { node, model } = await subject.fresh()
    await model.expectExtents(node, subject.content)
    await node.close()
  })
}

/** Every operation on a range, as a function. */
const OPERATIONS: Readonly<Record<string, (node: BlockNode, offset: number, length: number) => Promise<unknown>>> = {
  read: (node, offset, length) => node.read(offset, [new Uint8Array(length)]),
  write: (node, offset, length) => node.write(offset, [new Uint8Array(length).fill(0xee)]),
  discard: (node, offset, length) => node.discard(offset, length),
  writeZeroes: (node, offset, length) => node.writeZeroes(offset, length, true),
  extent: (node, offset, length) => node.extent(offset, length),
}
const CHANGING = ['write', 'discard', 'writeZeroes']

function bounds(subject: Subject): void {
  const names = Object.keys(OPERATIONS).filter(each => subject.traits.writable !== false || !CHANGING.includes(each))
  it.each(names)('%s refuses ranges that are not inside the disk', async (name) => {
    const { node } = await subject.fresh()
    const { size } = node
    const places = [size, size - 511, size + 1, size * 2, -1, -512, 0.5, 2 ** 53, 2 ** 60, NaN, Infinity, -Infinity]
    for (const offset of places) {
      await expect(OPERATIONS[name](node, offset, 512), `at ${offset}`).rejects.toEqual(code('DISK_OUT_OF_RANGE'))
    }
    expectContent(await readAll(node), subject.content)
    await node.close()
  })

  it('takes empty ranges, also at its very end', async () => {
    const { node } = await subject.fresh()
    for (const name of names.filter(each => each !== 'extent')) {
      for (const offset of [0, 513, node.size]) await OPERATIONS[name](node, offset, 0)
    }
    await node.read(node.size, [])
    expectContent(await readAll(node), subject.content)
    await node.close()
  })
}

function closing(subject: Subject): void {
  it('refuses everything once closed, and may be closed twice', async () => {
    const { node } = await subject.fresh()
    await node.close()
    for (const [name, operation] of Object.entries(OPERATIONS)) {
      await expect(operation(node, 0, 512), name).rejects.toEqual(code('DISK_CLOSED'))
    }
    await expect(node.flush()).rejects.toEqual(code('DISK_CLOSED'))
    await expect(node.resize(512)).rejects.toEqual(code('DISK_CLOSED'))
    await node.close()
  })
}

function refusing(subject: Subject, open: () => Promise<BlockNode>): void {
  it('refuses writes when it is read-only', async () => {
    const node = await open()
    expect(node.readOnly).toBe(true)
    for (const name of CHANGING) await expect(OPERATIONS[name](node, 0, 512), name).rejects.toEqual(code('DISK_READ_ONLY'))
    await expect(node.resize(node.size + 512)).rejects.toBeInstanceOf(TenonError)
    await node.flush()
    expectContent(await readAll(node), subject.content)
    await node.close()
  })
}

function writing(subject: Subject): void {
  it.each(SEEDS)('does what a plain array does (seed %i)', async (seed) => {
    const { node, store, model } = await subject.fresh()
    await workload(node, model, new Random(seed), STEPS)
    expectContent(await readAll(node), model.bytes)
    await model.expectExtents(node, subject.content)
    await node.close()
    await subject.check(store)
  })

  it.each(SEEDS)('keeps calls apart that overlap in time (seed %i)', async (seed) => {
    const { node, store, model } = await subject.fresh()
    const random = new Random(seed)
    for (let batch = 0; batch < BATCHES; batch++) {
      await Promise.all(model.batch(random, 16).map(change => change.apply(node)))
      expectContent(await readAll(node), model.bytes)
    }
    await node.close()
    await subject.check(store)
  })

  it('ends with one or the other when writes touch the same bytes', async () => {
    const { node, store } = await subject.fresh()
    for (const offset of [0, 1000, 65536 - 700]) {
      const buffers = [1, 2, 3, 4].map(value => new Uint8Array(1500).fill(value))
      await Promise.all([...buffers.map(buffer => node.write(offset, [buffer])), node.read(offset, [new Uint8Array(1500)])])
      const bytes = await readAll(node, offset, 1500)
      expect(bytes.every(value => value >= 1 && value <= 4)).toBe(true)
      expectContent(await readAll(node, offset, 1500), bytes)
    }
    await node.close()
    await subject.check(store)
  })

  it('leaves what it writes from as it was', async () => {
    const { node } = await subject.fresh()
    const random = new Random(3)
    const bytes = random.bytes(70_000)
    const before = bytes.slice()
    await node.write(777, [bytes.subarray(0, 13), bytes.subarray(13)])
    expectContent(bytes, before)
    bytes.fill(0)
    expectContent(await readAll(node, 777, before.length), before)
    await node.close()
  })

  if (subject.traits.resizable === true) resizing(subject)
  else refusingSizes(subject)
  if (!subject.persistent) refusing(subject, async () => subject.open(new MemoryStore(), true, true))
}

function refusingSizes(subject: Subject): void {
  it('says that its size cannot change', async () => {
    const { node } = await subject.fresh()
    await expect(node.resize(subject.size * 2)).rejects.toEqual(code('DISK_UNSUPPORTED'))
    expect(node.size).toBe(subject.size)
    await node.close()
  })
}

function resizing(subject: Subject): void {
  it('grows with zeros and shrinks for good', async () => {
    const { node, store, model } = await subject.fresh()
    await workload(node, model, new Random(4), 60)
    for (const size of [subject.size + 300 * 1024, subject.size - 5 * 512, 131072, subject.size * 3, subject.size]) {
      await node.resize(size)
      model.resize(size)
      expect(node.size).toBe(size)
      expectContent(await readAll(node), model.bytes)
      await expect(node.read(size - 511, [new Uint8Array(512)])).rejects.toEqual(code('DISK_OUT_OF_RANGE'))
      await workload(node, model, new Random(size), 20)
    }
    await node.close()
    await subject.check(store)
    if (!subject.persistent) return
    const again = await subject.open(store, false)
    expectContent(await readAll(again), model.bytes)
    await again.close()
  })

  it('refuses sizes that are none', async () => {
    const { node } = await subject.fresh()
    for (const size of [-512, 0.5, NaN, Infinity, 2 ** 60]) await expect(node.resize(size), `${size}`).rejects.toBeInstanceOf(TenonError)
    expect(node.size).toBe(subject.size)
    await node.close()
  })
}

function persisting(subject: Subject): void {
  refusing(subject, async () => {
    const { node, store } = await subject.fresh()
    await node.close()
    return subject.open(store, false, true)
  })

  it('is the same when it is opened again', async () => {
    const { node, store, model } = await subject.fresh()
    await workload(node, model, new Random(5), 80)
    const last = new Uint8Array(5000).fill(0x77)
    const written = node.write(4000, [last])
    await node.close()
    await written
    model.set(4000, last)
    for (const readOnly of [true, false]) {
      const again = await subject.open(store, false, readOnly)
      expect(again.size).toBe(subject.size)
      expectContent(await readAll(again), model.bytes)
      await again.close()
    }
    await subject.check(store)
  })

  it('loses nothing that was flushed when nothing else survives', async () => {
    const { node, store, model } = await subject.fresh()
    await workload(node, model, new Random(6), 80)
    await node.flush()
    const after = store.crashed()
    const again = await subject.open(after, false)
    expectContent(await readAll(again), model.bytes)
    await again.close()
    await subject.check(after)
    await node.close()
  })

  crashing(subject, SEEDS)
  failures(subject)
}

function crashing(subject: Subject, seeds: readonly number[]): void {
  it.each(seeds)('survives a crash at any instant (seed %i)', async (seed) => {
    const { node, store, model } = await subject.fresh()
    await node.flush()
    store.settle()
    const random = new Random(seed * 77)
    const history = model.startHistory(store)
    for (let batch = 0; batch < BATCHES; batch++) {
      const changes = model.batch(random, 6).map(change => history.record(change, change.apply(node)))
      await Promise.all(random.below(3) === 0 ? [...changes, history.flush(node.flush())] : changes)
      if (random.below(3) === 0) await history.flush(node.flush())
    }
    for (let crash = 0; crash < (subject.traits.crashes ?? 40); crash++) {
      const at = random.below(store.now + 1)
      await checkCrash(store.crashed(at, random), history, at, after => subject.open(after, false), after => subject.check(after))
    }
    await node.close()
  })
}

function failures(subject: Subject): void {
  it.each(SEEDS)('keeps what it has when its files fail (seed %i)', async (seed) => {
    const { node, store, model } = await subject.fresh()
    const random = new Random(seed * 91)
    await workload(node, model, random, 60)
    await node.flush()
    let failures = 0
    store.fail = (operation) => {
      if (operation === 'read' || random.below(3) > 0) return null
      failures++
      return random.pick(['DISK_FULL', 'DISK_WRITE_FAILED'])
    }
    for (let batch = 0; batch < BATCHES; batch++) await failing(node, model, random)
    store.fail = null
    expect(failures).toBeGreaterThan(0)
    model.expectPossible(await readAll(node))
    await node.close().catch((error: unknown) => expect(error).toBeInstanceOf(TenonError))
    const again = await subject.open(store, false)
    model.expectPossible(await readAll(again))
    await again.close()
    await subject.check(store)
  })

  it('says so when its files cannot be read, and reads again when they can', async () => {
    const { node, store, model } = await subject.fresh()
    await workload(node, model, new Random(8), 60)
    await node.close()
    const again = await subject.open(store, false)
    let failures = 0
    store.fail = (operation) => {
      if (operation !== 'read') return null
      failures++
      return 'DISK_READ_FAILED'
    }
    const error = await readAll(again).catch((error: unknown) => error)
    if (failures > 0) expect(error).toEqual(code('DISK_READ_FAILED'))
    store.fail = null
    expectContent(await readAll(again), model.bytes)
    await again.close()
  })
}

/** Some changes at once on failing files; those that are refused have happened in part, or not at all. */
async function failing(node: BlockNode, model: DiskModel, random: Random): Promise<void> {
  const changes = model.batch(random, 6)
  const results = await Promise.allSettled(changes.map(change => change.apply(node)))
  for (const [at, result] of results.entries()) {
    if (result.status === 'fulfilled') continue
    expect(result.reason).toBeInstanceOf(TenonError)
    model.doubt(changes[at])
  }
  await node.flush().catch((error: unknown) => expect(error).toBeInstanceOf(TenonError))
}

/** Random operations, one after another, each compared with the model. */
export async function workload(node: BlockNode, model: DiskModel, random: Random, steps: number): Promise<void> {
  for (let step = 0; step < steps; step++) {
    if (random.below(3) === 0) {
      const { offset, length } = model.range(random)
      const { buffers, intact } = scattered(random, length)
      await node.read(offset, buffers)
      expect(byteLength(buffers)).toBe(length)
      model.expectRead(offset, buffers)
      intact()
    } else if (random.below(12) === 0) await node.flush()
    else await model.change(random, model.range(random)).apply(node)
  }
}
