import type { PlainData } from '../../machine/lifecycle.ts'
import { FuseSession } from '../../storage/fuse/session.ts'
import { hostError } from '../errors.ts'
import { openSharedFolder } from './open-shared-folder.ts'
import { LONGEST_TAG, MAXIMUM_SHARES, type ShareInfo, type ShareOrder } from './share-order.ts'
import { restoreShare, saveShare } from './share-state.ts'
import type { SharedFolder } from './shared-folder.ts'

/** A folder with the guest's conversation about it. */
export interface OpenShare {
  readonly info: ShareInfo
  readonly folder: SharedFolder
  readonly session: FuseSession
  save(): PlainData
}

/** Opens a machine's shares, all or none. @throws TenonError SHARE_UNFIT, SNAPSHOT_INVALID. */
export function openShares(orders: readonly ShareOrder[]): OpenShare[] {
  checkOrders(orders)
  const opened: OpenShare[] = []
  try {
    for (const order of orders) opened.push(openShare(order))
    return opened
  } catch (error) {
    for (const { folder } of opened) folder.close()
    throw error
  }
}

function openShare(order: ShareOrder): OpenShare {
  const folder = openSharedFolder(order)
  const session = new FuseSession(folder)
  if (order.state !== undefined) restoreShare(order.state, folder, session)
  return { info: { tag: order.tag }, folder, session, save: () => saveShare(folder, session) }
}

function checkOrders(orders: readonly ShareOrder[]): void {
  if (orders.length > MAXIMUM_SHARES) throw unfit(`a guest can have ${MAXIMUM_SHARES} shares, and ${orders.length} are asked for`)
  const tags = new Set<string>()
  for (const { tag, user = 0, group = 0 } of orders) {
    const length = Buffer.byteLength(tag)
    if (length < 1 || length > LONGEST_TAG || tag.includes('\0')) {
      throw unfit(`${JSON.stringify(tag)} cannot be the tag of a share: it takes 1 to ${LONGEST_TAG} bytes`)
    }
    if (tags.has(tag)) throw unfit(`two shares have the tag ${tag}: give each its own`)
    tags.add(tag)
    for (const id of [user, group]) if (!isId(id)) throw unfit(`${id} is no user or group of a guest: 0 to ${LARGEST_ID}`)
  }
}

function unfit(why: string): Error { return hostError('SHARE_UNFIT', why) }

/** The number above means nobody. */
const LARGEST_ID = 2 ** 32 - 2

function isId(id: number): boolean { return Number.isInteger(id) && id >= 0 && id <= LARGEST_ID }
