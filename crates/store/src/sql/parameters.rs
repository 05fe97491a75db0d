//! Parameters of a statement, in the forms in which the store writes them.

use rusqlite::types::ToSql;

pub(crate) trait Params {
    fn bind<R>(self, work: impl FnOnce(&[&dyn ToSql]) -> R) -> R;
}

impl Params for &[&dyn ToSql] {
    fn bind<R>(self, work: impl FnOnce(&[&dyn ToSql]) -> R) -> R {
        work(self)
    }
}

impl Params for [&dyn ToSql; 0] {
    fn bind<R>(self, work: impl FnOnce(&[&dyn ToSql]) -> R) -> R {
        work(&[])
    }
}

macro_rules! arrays {
    ($($length:literal)*) => {$(
        impl<T: ToSql> Params for [T; $length] {
            fn bind<R>(self, work: impl FnOnce(&[&dyn ToSql]) -> R) -> R {
                work(&self.each_ref().map(|value| value as &dyn ToSql))
            }
        }
    )*};
}

arrays!(1 2 3 4);

/// As many parameters as there are.
pub(crate) struct Many<T>(Vec<T>);

pub(crate) fn params_from_iter<T: ToSql>(values: impl IntoIterator<Item = T>) -> Many<T> {
    Many(values.into_iter().collect())
}

impl<T: ToSql> Params for Many<T> {
    fn bind<R>(self, work: impl FnOnce(&[&dyn ToSql]) -> R) -> R {
        let all: Vec<&dyn ToSql> = self.0.iter().map(|value| value as &dyn ToSql).collect();
        work(&all)
    }
}
