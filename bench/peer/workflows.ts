export { fiveActivities } from './five-activities';
export { waits } from './waits';
