export { measureWhere, type Where, type WhereBed, type WhereGround } from './measure-where.js';
