//! In which farms a backend is a member. Nearly all are in one, so one takes no memory of its own.

/// Farms and members, by their numbers.
#[derive(Debug)]
pub enum Places {
    /// One.
    One((u32, u32)),
    /// None, or several.
    Several(Vec<(u32, u32)>),
}

impl Default for Places {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

impl Places {
    fn list(&self) -> &[(u32, u32)] {
        match self {
            Self::One(place) => std::slice::from_ref(place),
            Self::Several(places) => places,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list().len()
    }

    /// The farm and the member at this place of the list, which must be one.
    pub fn at(&self, place: usize) -> (usize, usize) {
        let (farm, member) = self.list()[place];
        (farm as usize, member as usize)
    }

    /// All of them, in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = (usize, usize)> {
        self.list().iter().map(|&(farm, member)| (farm as usize, member as usize))
    }

    /// One more.
    pub fn push(&mut self, farm: usize, member: usize) {
        let place = (farm as u32, member as u32);
        match self {
            Self::One(first) => *self = Self::Several(vec![*first, place]),
            Self::Several(places) if places.is_empty() => *self = Self::One(place),
            Self::Several(places) => places.push(place),
        }
    }

    /// Takes those in this farm out.
    pub fn leave(&mut self, farm: usize) {
        let stay: Vec<_> = self.iter().filter(|&(other, _)| other != farm).collect();
        self.clear();
        stay.into_iter().for_each(|(farm, member)| self.push(farm, member));
    }

    /// Takes all out.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_leaves_one_farm_stays_in_the_others_in_order() {
        let mut places = Places::default();
        [(3, 0), (1, 7), (2, 2)].into_iter().for_each(|(farm, member)| places.push(farm, member));
        assert_eq!((places.len(), places.at(0), places.at(2)), (3, (3, 0), (2, 2)));
        places.leave(3);
        assert_eq!(places.iter().collect::<Vec<_>>(), [(1, 7), (2, 2)]);
        places.leave(1);
        places.push(5, 1);
        assert_eq!(places.iter().collect::<Vec<_>>(), [(2, 2), (5, 1)]);
        places.clear();
        assert_eq!(places.len(), 0);
    }
}
