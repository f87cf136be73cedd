import { link, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { copyNode } from '../../storage/copy.ts'
import { RawNode } from '../../storage/nodes/raw.ts'
import { createQcow2 } from '../../storage/qcow2/create.ts'
import { explained } from '../cache/file-errors.ts'
import { openDiskFile } from '../disks/disk-file.ts'
import type { DiskImage } from '../images/debian/debian-image.ts'
import type { GuestDefinition } from './guest-definition.ts'
import { formatGuestFile } from './guest-file.ts'
import type { GuestStore } from './guest-store.ts'
import { GUEST_FILES } from './home.ts'

/** What a guest takes over from its image. */
export type GuestImage = Pick<DiskImage, 'kernel' | 'diskPath'>

/**
 * Makes a guest, which does not run yet. With an image it gets a disk of its own, `disk.qcow2` over `base.raw`. Throws TenonError
 * GUEST_NAME_INVALID, GUEST_EXISTS, GUEST_FILES_FULL and GUEST_FILES_UNUSABLE, and those of disks (StorageErrorCode).
 */
export async function createGuest(store: GuestStore, name: string, definition: GuestDefinition, image?: GuestImage): Promise<void> {
  await store.create(name, async folder => {
    if (image !== undefined) await makeDisk(folder, image)
    const text = await formatGuestFile(definition)
    await explained(folder, () => writeFile(join(folder, 'guest.yaml'), text), GUEST_FILES)
  })
}

async function makeDisk(folder: string, { kernel, diskPath }: GuestImage): Promise<void> {
  const base = join(folder, 'base.raw')
  await explained(folder, () => writeFile(join(folder, 'kernel'), kernel), GUEST_FILES)
  await takeBase(diskPath, base)
  const reader = await openDiskFile(base, { readOnly: true })
  const { size } = reader
  await reader.close()
  const file = await openDiskFile(join(folder, 'disk.qcow2'), { create: true })
  try {
    await createQcow2(file, { size, backingFile: 'base.raw', backingFormat: 'raw' })
  } finally {
    await file.close()
  }
}

/** The cache may lose the image's disk, or replace it by a newer one. A hard link keeps the one that this guest's disk is made over. */
async function takeBase(from: string, to: string): Promise<void> {
  const isLinked = await link(from, to).then(() => true, () => false)
  if (!isLinked) await copyBase(from, to)
}

/** Where the cache is on another file system, or there are no hard links. */
async function copyBase(from: string, to: string): Promise<void> {
  const source = new RawNode(await openDiskFile(from, { readOnly: true }))
  try {
    const target = await RawNode.create(await openDiskFile(to, { create: true }), source.size)
    await copyNode(source, target, { targetIsZero: true }).finally(() => target.close())
  } finally {
    await source.close()
  }
}
