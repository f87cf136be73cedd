import type { AddRoutes } from '../context.ts'
import { addGuestRoutes } from './guests.ts'
import { addHostRoutes } from './host.ts'

export const ROUTES: readonly AddRoutes[] = [addHostRoutes, addGuestRoutes]
