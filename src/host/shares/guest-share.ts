/**
 * A share with its place in the guest. Guests of our images find them on their kernel's command line and mount them as they start:
 *
 *     tenon.share=share0:rw:/mnt/src     the tag, rw or ro, the folder, which is made if it is not there
 */
import { hostError } from '../errors.ts'
import type { ShareOrder } from './share-order.ts'

export interface GuestShare extends Omit<ShareOrder, 'tag' | 'state'> {
  /** The folder in the guest: an absolute path. */
  readonly mountPoint: string
}

/** What a kernel's command line and the shells that read it take as it is. */
const MOUNT_POINT = /^(\/[A-Za-z0-9._+@=-]+)+$/
const LONGEST_MOUNT_POINT = 128

/** Gives each share a tag. @throws TenonError SHARE_UNFIT if its place in the guest is none, or taken. */
export function shareOrders(shares: readonly GuestShare[]): ShareOrder[] {
  shares.forEach(({ mountPoint }, index) => {
    checkMountPoint(mountPoint)
    if (shares.findIndex(other => other.mountPoint === mountPoint) === index) return
    throw hostError('SHARE_UNFIT', `two shares are to be at ${mountPoint} in the guest: give each its own place`)
  })
  return shares.map(({ path, readOnly, user, group }, index) => ({ path, readOnly, user, group, tag: tagOf(index) }))
}

/** Words for the kernel's command line. */
export function shareWords(shares: readonly GuestShare[]): string[] {
  return shares.map(({ mountPoint, readOnly }, index) => `tenon.share=${tagOf(index)}:${readOnly ? 'ro' : 'rw'}:${mountPoint}`)
}

/** @throws TenonError SHARE_UNFIT. */
export function checkMountPoint(mountPoint: string): void {
  const names = mountPoint.split('/')
  if (!MOUNT_POINT.test(mountPoint) || mountPoint.length > LONGEST_MOUNT_POINT || names.includes('.') || names.includes('..')) {
    throw hostError('SHARE_UNFIT', `${JSON.stringify(mountPoint)} is no folder for a share in the guest: write it from the root, `
      + 'such as /mnt/src, in letters, digits and . _ + @ = -')
  }
}

function tagOf(index: number): string { return `share${index}` }
